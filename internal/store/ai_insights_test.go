package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// insights are the hands of workers that save what they found out about one contact.
type insights struct {
	t    *testing.T
	conn *pgx.Conn // the owner's
	db   *store.DB
}

func newInsights(t *testing.T) insights {
	t.Helper()
	url := newDatabase(t)
	conn := connect(t, url)
	withContact(t, conn, organization)
	return insights{t, conn, open(t, url, store.System)}
}

var factsHour = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

// rated is what a look at the facts said: the minute of the hour is also the score.
func rated(minute int) store.Insight {
	return store.Insight{OrganizationID: organization, ID: uuid.NewString(), Kind: "ai.lead_score", SubjectType: store.SubjectContact,
		SubjectID: organization, JobID: uuid.NewString(), Output: json.RawMessage(fmt.Sprintf(`{"score":%d}`, minute)), Provider: "ollama", Model: "m",
		Template: "x.v1", FactsAt: factsHour.Add(time.Duration(minute) * time.Minute)}
}

// save does what the end of a job does: the insight, and the score only with it.
func (i insights) save(ctx context.Context, tx pgx.Tx, minute int) error {
	if _, err := store.SaveInsight(ctx, tx, rated(minute)); err != nil {
		return err
	}
	_, err := store.ScoreContact(ctx, tx, organization, organization, minute)
	return err
}

func (i insights) begin() pgx.Tx {
	i.t.Helper()
	tx, err := i.db.Pool().Begin(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// meanwhile runs do until it waits for a lock, lets go of that by release, and gives what do came to.
func (i insights) meanwhile(do func() error, release func() error) error {
	i.t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	for waiting := 0; waiting == 0; {
		select {
		case err := <-done:
			i.t.Fatalf("it did not wait: %v", err)
		case <-i.t.Context().Done():
			i.t.Fatal("it does not wait")
		case <-time.After(5 * time.Millisecond):
		}
		err := i.conn.QueryRow(i.t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			i.t.Fatal(err)
		}
	}
	if err := release(); err != nil {
		i.t.Fatal(err)
	}
	return <-done
}

func (i insights) want(score, version, count int) {
	i.t.Helper()
	var gotScore, gotVersion, gotCount int
	err := i.conn.QueryRow(i.t.Context(), `
		SELECT coalesce((SELECT lead_score FROM contacts), 0), coalesce((SELECT max(version) FROM ai_insights), 0), (SELECT count(*) FROM ai_insights)`).
		Scan(&gotScore, &gotVersion, &gotCount)
	if err != nil {
		i.t.Fatal(err)
	}
	if gotScore != score || gotVersion != version || gotCount != count {
		i.t.Errorf("score %d, %d insights in version %d; want %d, %d in %d", gotScore, gotCount, gotVersion, score, count, version)
	}
}

// An older look at the records replaces neither the insight nor the score of a newer one, also when both are
// saved at the same moment and the newer one comes to the rows first.
func TestOlderInsightNeverReplacesNewer(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} { // is it the first insight about the contact?
		i := newInsights(t)
		ctx, version := t.Context(), 1
		if !first {
			version = 2
			if err := i.db.Tx(ctx, func(tx pgx.Tx) error { return i.save(ctx, tx, 1) }); err != nil {
				t.Fatal(err)
			}
		}
		newer, older := i.begin(), i.begin()
		if err := i.save(ctx, newer, 30); err != nil {
			t.Fatal(err)
		}
		err := i.meanwhile(func() error { return i.save(ctx, older, 20) }, func() error { return newer.Commit(ctx) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("the older look is saved with %v, want a conflict", err)
		}
		if err := older.Commit(ctx); err != nil {
			t.Errorf("the older look's transaction is spoilt: %v", err)
		}
		i.want(30, version, 1)
	}
}

// A newer look replaces an older one that is being saved.
func TestNewerInsightWaitsForOlder(t *testing.T) {
	t.Parallel()
	i := newInsights(t)
	ctx := t.Context()
	older, newer := i.begin(), i.begin()
	if err := i.save(ctx, older, 20); err != nil {
		t.Fatal(err)
	}
	if err := i.meanwhile(func() error { return i.save(ctx, newer, 30) }, func() error { return older.Commit(ctx) }); err != nil {
		t.Fatal(err)
	}
	if err := newer.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	i.want(30, 2, 1)
}

// What is found out about something that is being deleted is nobody's, and spoils nothing else that its
// transaction does.
func TestInsightAboutWhatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	i := newInsights(t)
	ctx := t.Context()
	_, err := i.conn.Exec(ctx, `
		WITH deal AS (INSERT INTO deals (organization_id, id, contact_id, title, value, probability)
			SELECT $1::uuid, $1::uuid, $1::uuid, 'x', 1, 10)
		INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state,
			issue_date, due_date, subtotal, cgst, sgst, igst, total)
		VALUES ($1, $1, $1, 'x', '27', false, now(), now(), 0, 0, 0, 0, 0)`, organization)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{store.SubjectDeal, store.SubjectInvoice, store.SubjectContact} {
		deletion, work := i.begin(), i.begin()
		if _, err := deletion.Exec(ctx, `DELETE FROM `+subject+`s WHERE organization_id = $1`, organization); err != nil {
			t.Fatal(err)
		}
		n := rated(20)
		n.SubjectType = subject
		err := i.meanwhile(func() error { _, err := store.SaveInsight(ctx, work, n); return err }, func() error { return deletion.Commit(ctx) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: it is saved with %v, want a conflict", subject, err)
		}
		if err := work.Commit(ctx); err != nil {
			t.Errorf("%s: the transaction is spoilt: %v", subject, err)
		}
	}
	i.want(0, 0, 0)
}
