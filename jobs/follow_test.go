package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

const organization = "0197aaaa-0000-7000-8000-000000000001"

func newDeps(t *testing.T) Deps {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	url := pg.URL(pg.NewDatabase(t, template))
	open := func(name string) *store.DB {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.System, Name: name, MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		return db
	}
	return Deps{DB: open("durable"), Relaxed: open("relaxed"), Hints: noHints{}, Log: slog.New(slog.DiscardHandler)}
}

// Hints may be lost.
type noHints struct{}

func (noHints) OutboxChanged()    {}
func (noHints) JobChanged(string) {}

func newJob(t *testing.T, d Deps) string {
	t.Helper()
	now := time.Now()
	j := store.Job{OrganizationID: organization, ID: outbox.NewID(), Kind: "test.play", Queue: "ai", Priority: 2, MaxAttempts: 9,
		Input: json.RawMessage(`{}`), Metadata: json.RawMessage(`{}`), RunAt: now, EventID: outbox.NewID(), CreatedAt: now}
	b := &pgx.Batch{}
	store.QueueJob(b, j)
	if err := d.DB.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return j.ID
}

// begin starts an attempt and tells those who follow.
func begin(t *testing.T, d Deps, id string, attempt int, overtaken func()) *Follow {
	t.Helper()
	return beginRun(t, d, id, 1, attempt, overtaken)
}

func beginRun(t *testing.T, d Deps, id string, run, attempt int, overtaken func()) *Follow {
	t.Helper()
	taken, errs := store.StartJobs(t.Context(), d.DB, []store.Start{
		{OrganizationID: organization, JobID: id, Run: run, RiverJobID: int64(attempt), Attempt: attempt},
	})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	f := newFollow(d, &taken[0], overtaken)
	if err := f.Started(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

func never(t *testing.T) func() {
	return func() { t.Error("the worker heard that it was overtaken") }
}

// told reads what a follower is told, wants the numbers to go on by one, and gives the text that counts.
func told(t *testing.T, d Deps, id string) (text string, kinds []string) {
	t.Helper()
	_, list, err := d.DB.JobWithEvents(t.Context(), organization, id, 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		if want := int64(i) + 2; e.Seq != want { // 1 is the job's birth
			t.Fatalf("number %d comes where %d should", e.Seq, want)
		}
		kinds = append(kinds, e.Type)
		var token struct{ Text string }
		switch e.Type {
		case "reset":
			text = ""
		case "token":
			if err := json.Unmarshal(e.Data, &token); err != nil {
				t.Fatal(err)
			}
			text += token.Text
		}
	}
	return text, kinds
}

func say(f *Follow, words int) (text string) {
	var all strings.Builder
	for i := range words {
		word := fmt.Sprintf("wörd %d ", i)
		all.WriteString(word)
		f.Token(word)
	}
	return all.String()
}

// Alone, as other tests' goroutines would be taken for its own.
func TestFollowOverAttempts(t *testing.T) {
	d := newDeps(t)
	before := goleak.IgnoreCurrent()
	id := newJob(t, d)
	for attempt := 1; attempt <= 3; attempt++ {
		f := begin(t, d, id, attempt, never(t))
		f.Provider("ollama", "mistral:7b", "")
		say(f, 50)
		f.Reset("groq", "timeout")
		f.Provider("groq", "gpt", "timeout")
		want := say(f, 700)
		if err := f.Progress(t.Context(), 1, 2); err != nil {
			t.Fatal(err)
		}
		want += say(f, 10)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		text, kinds := told(t, d, id)
		if text != want {
			t.Fatalf("attempt %d: the text is %q, want %q", attempt, text, want)
		}
		count := map[string]int{}
		for _, k := range kinds {
			count[k]++
		}
		// One for each change of provider, and one more for each attempt that withdraws text.
		if count["status"] != attempt || count["reset"] != 2*attempt-1 || count["progress"] != attempt {
			t.Fatalf("attempt %d: %v", attempt, count)
		}
	}
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

// Connections die while an answer comes; nothing of it may be left out.
func TestFollowLosesNothingWithItsConnections(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	id := newJob(t, d)
	f := begin(t, d, id, 1, never(t))
	want := ""
	for range 6 {
		want += say(f, 40)
		_, err := d.DB.Pool().Exec(t.Context(), `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relaxed'`)
		if err != nil {
			// Its own login may end what is its own.
			super, err := pgx.Connect(t.Context(), localstack.TestPostgres(t).SuperURL(d.DB.Pool().Config().ConnConfig.Database))
			if err != nil {
				t.Fatal(err)
			}
			_, err = super.Exec(t.Context(), `
				SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relaxed'`)
			super.Close(context.Background())
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	want += say(f, 5)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text, _ := told(t, d, id); text != want {
		t.Fatalf("the text is %q, want %q", text, want)
	}
}

// Whoever was overtaken writes nothing more, and hears of it.
func TestFollowOfOvertakenWorker(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	id := newJob(t, d)
	var heard atomic.Bool
	first := begin(t, d, id, 1, func() { heard.Store(true) })
	say(first, 3)
	second := begin(t, d, id, 2, never(t))
	say(first, 300)
	want := say(second, 20)
	if err := first.Close(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the overtaken one got %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if text, _ := told(t, d, id); text != want {
		t.Fatalf("the text is %q, want %q", text, want)
	}
}

// The number behind a run's last event is that of its end, which is told and not stored. Attempts of the
// next run that were put off, and so are not counted, leave no further numbers out.
func TestFollowOverRuns(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	id := newJob(t, d)
	closed := func(f *Follow) {
		t.Helper()
		say(f, 2)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed(begin(t, d, id, 1, never(t)))
	err := d.DB.Tx(t.Context(), func(tx pgx.Tx) error {
		if _, err := store.CancelJob(t.Context(), tx, organization, id); err != nil {
			return err
		}
		_, err := store.RequeueJob(t.Context(), tx, organization, id, outbox.NewID(), store.Fair)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := store.LastJobEvent(t.Context(), d.DB.Pool(), organization, id)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		closed(beginRun(t, d, id, 2, 1, never(t)))
	}
	_, list, err := d.DB.JobWithEvents(t.Context(), organization, id, last, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		if want := last + 2 + int64(i); e.Seq != want {
			t.Fatalf("number %d comes where %d should", e.Seq, want)
		}
	}
}
