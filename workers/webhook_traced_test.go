package workers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/jobs"
)

// A delivery that has its turn at once is a part of the trace of its event, and of an event that nobody traces it has
// none.
func TestDeliveriesBelongToTheTraceOfTheirEvent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.endpoint(organization, "*")
	tracer := trace.NewTracer(sdk.NewTracerProvider(), func(otel.TraceID) bool { return true })
	_, stop := s.worker(func(c *Config) { c.Tracer, c.Table = tracer, s.telling() })
	defer stop()
	for _, from := range []string{sampledTrace, unsampledWork, ""} {
		s.tx(func(tx pgx.Tx) error {
			return outbox.Append(t.Context(), tx, outbox.Origin{OrganizationID: organization, TraceParent: from}, created())
		})
	}
	s.drained()
	eventually(t, "all have their turn", func() error {
		if n := s.count(`SELECT count(*) FROM river_job WHERE kind = $1`, jobs.DeliverWebhook); n != 2 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	rows, err := s.db.Pool().Query(t.Context(), `SELECT coalesce(metadata ->> 'traceparent', '') FROM river_job WHERE kind = $1 ORDER BY id`, jobs.DeliverWebhook)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got[0], sampledTrace[:36]) || got[0] == sampledTrace || got[1] != "" {
		t.Errorf("got %q: want a step of the trace of the first event, and nothing for the second", got)
	}
}
