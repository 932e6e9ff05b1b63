package store_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// found saves an insight that a change makes of the one of the hour.
func (i insights) found(change func(*store.Insight)) (asked, got store.Insight, err error) {
	i.t.Helper()
	asked = rated(0)
	change(&asked)
	err = i.db.Tx(i.t.Context(), func(tx pgx.Tx) (err error) {
		got, err = store.SaveInsight(i.t.Context(), tx, asked)
		return err
	})
	return asked, got, err
}

// What is known already is no news: it stays the insight of the job that found it out, and is true of newer records.
func TestTheSameInsightAgain(t *testing.T) {
	t.Parallel()
	i := newInsights(t)
	_, first, err := i.found(func(n *store.Insight) { n.Output = json.RawMessage(`{"score":1,"stage":"cold"}`) })
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := i.found(func(n *store.Insight) {
		n.Output, n.Model, n.FactsAt = json.RawMessage(`{"stage": "cold", "score": 1}`), "another", factsHour.Add(time.Hour)
	})
	want := first
	want.FactsAt = factsHour.Add(time.Hour)
	if err != nil || again.JobID != want.JobID || again.Model != want.Model || again.Version != 1 || !again.FactsAt.Equal(want.FactsAt) ||
		!again.UpdatedAt.Equal(want.UpdatedAt) || !again.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("found out again: %+v, %v\nwant %+v", again, err, want)
	}
	for n, other := range []struct{ output, template, provider string }{
		{`{"score":2}`, "x.v1", "ollama"}, {`{"score":2}`, "x.v2", "ollama"}, {`{"score":2}`, "x.v2", "groq"},
	} {
		asked, got, err := i.found(func(n *store.Insight) {
			n.Output, n.Template, n.Provider, n.FactsAt = json.RawMessage(other.output), other.template, other.provider, factsHour.Add(2*time.Hour)
		})
		if err != nil || got.Version != int64(n+2) || got.JobID != asked.JobID || !got.UpdatedAt.After(first.UpdatedAt) {
			t.Errorf("%+v: %+v, %v; want version %d by job %s", other, got, err, n+2, asked.JobID)
		}
	}
}

// What a model said within a day is better than what the rules say; theirs, and what is older, they replace.
func TestRulesReplaceNoFreshInsight(t *testing.T) {
	t.Parallel()
	byRules := func(after time.Duration) func(*store.Insight) {
		return func(n *store.Insight) {
			n.Provider, n.Output, n.FactsAt = "rules", json.RawMessage(`{"score":50}`), factsHour.Add(after)
		}
	}
	for _, tt := range []struct {
		name, first string
		after       time.Duration
		kept        string
	}{
		{"a model's of the same day", "ollama", 24*time.Hour - time.Second, "ollama"},
		{"Groq's of the same day", "groq", time.Minute, "groq"},
		{"a model's of the day before", "ollama", 24 * time.Hour, "rules"},
		{"the rules' own", "rules", time.Minute, "rules"},
	} {
		i := newInsights(t)
		if _, _, err := i.found(func(n *store.Insight) { n.Provider = tt.first }); err != nil {
			t.Fatal(err)
		}
		_, _, err := i.found(byRules(tt.after))
		if want := tt.kept != "rules"; errors.Is(err, store.ErrConflict) != want || !want && err != nil {
			t.Errorf("%s: saved with %v, want a conflict: %v", tt.name, err, want)
		}
		var kept string
		if err := i.conn.QueryRow(t.Context(), `SELECT provider FROM ai_insights`).Scan(&kept); err != nil || kept != tt.kept {
			t.Errorf("%s: kept is %s's, %v; want %s's", tt.name, kept, err, tt.kept)
		}
	}
	i := newInsights(t)
	if _, _, err := i.found(byRules(0)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := i.found(func(n *store.Insight) { n.FactsAt = factsHour.Add(time.Second) }); err != nil || got.Provider != "ollama" {
		t.Errorf("a model after the rules: %+v, %v; want its own", got, err)
	}
}
