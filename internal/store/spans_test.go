package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// Statements are told, and neither what they are asked with nor what Postgres says of it.
func TestSpansTellNoValues(t *testing.T) {
	t.Parallel()
	const secret = "lakshmi.v@customer.example"
	recorder := tracetest.NewSpanRecorder()
	tracer := trace.NewTracer(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), func(otel.TraceID) bool { return true })
	db, _ := openLogged(t, store.PoolOptions{Tracer: store.Spans{}})
	if _, err := db.Pool().Exec(t.Context(), `SELECT 1`); err != nil || len(recorder.Ended()) != 0 {
		t.Fatalf("%v; what nobody traces has %d spans", err, len(recorder.Ended()))
	}
	ctx, outer := tracer.Begin(t.Context(), "", trace.Server, "test", "")
	var got string
	if err := db.Pool().QueryRow(ctx, `SELECT $1::text`, secret).Scan(&got); err != nil || got != secret {
		t.Fatal(got, err)
	}
	if _, err := db.Pool().Exec(ctx, `SELECT $1::text::uuid`, secret); err == nil {
		t.Fatal("it is an id")
	}
	b := store.BatchAs("0197aaaa-0000-7000-8000-000000000001")
	b.Queue(`SELECT $1::text`, secret)
	b.Queue("SELECT\n\t1 / $1::int", 0)
	if err := db.Send(ctx, b); err == nil {
		t.Fatal("the batch went well")
	}
	if err := db.Tx(ctx, func(pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	outer.End()
	want := []string{"SELECT", "SELECT 22P02", "BATCH 22012", "BEGIN", "COMMIT", "test"}
	var names []string
	for _, s := range recorder.Ended() {
		names = append(names, strings.TrimSpace(s.Name()+" "+s.Status().Description))
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "lakshmi") {
				t.Errorf("%s has %s = %s", s.Name(), a.Key, a.Value.String())
			}
			if a.Key == "db.query.text" && s.Name() == "BATCH" && a.Value.String() != "SELECT $1::text; SELECT 1 / $1::int" {
				t.Errorf("the batch is %q", a.Value.String())
			}
		}
		if len(s.Events()) != 0 || strings.Contains(s.Status().Description, "lakshmi") {
			t.Errorf("%s: %v %v", s.Name(), s.Status(), s.Events())
		}
	}
	if strings.Join(names, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %v, want %v", names, want)
	}
}
