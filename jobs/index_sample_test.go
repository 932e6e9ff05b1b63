package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// A sample that somebody asks for is written down with what was found, and told.
func TestSampleOfIndexes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// With a row twice a unique index can't be built, and what there is of it stays.
	owner, err := pgx.Connect(t.Context(), s.url)
	s.must(err)
	defer owner.Close(context.Background())
	_, err = owner.Exec(t.Context(), `CREATE TABLE twice (n integer); INSERT INTO twice VALUES (1), (1)`)
	s.must(err)
	if _, err := owner.Exec(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY idx_twice ON twice (n)`); err == nil {
		t.Fatal("a unique index was built on rows that are there twice")
	}
	s.worker(map[string]int{"maintenance": 2})
	j := s.ends(s.submit("db.index_sample", `{}`, func(j *store.Job) { j.Queue = "maintenance" }), store.Succeeded)
	var out struct {
		SampleID string    `json:"sample_id"`
		TakenAt  time.Time `json:"taken_at"`
		Indexes  int
		Findings map[string]int
	}
	s.must(json.Unmarshal(j.Output, &out))
	if out.Indexes < 100 || out.Findings["invalid"] != 1 || len(out.Findings) != 1 {
		t.Errorf("the output is %s, want one invalid index of many", j.Output)
	}
	var kept, rows int
	s.scan(&kept, `SELECT (findings ->> 'invalid')::integer FROM index_sample_runs WHERE id = $1 AND taken_at = $2`, out.SampleID, out.TakenAt)
	s.scan(&rows, `SELECT count(*) FROM index_samples WHERE taken_at = $1`, out.TakenAt)
	if kept != 1 || rows != out.Indexes {
		t.Errorf("%d invalid ones and %d indexes are on record, want 1 and %d", kept, rows, out.Indexes)
	}
	var data json.RawMessage
	s.scan(&data, `SELECT data FROM outbox WHERE type = 'index_health.sampled'`)
	var fact events.IndexHealthSampled
	s.must(json.Unmarshal(data, &fact))
	if fact.SampleID != out.SampleID || fact.JobID != j.ID || fact.Indexes != out.Indexes || !fact.TakenAt.Equal(out.TakenAt) || fact.Findings["invalid"] != 1 {
		t.Errorf("the fact is %+v, the output %s", fact, j.Output)
	}
}

// The clock's samples are jobs of the operator.
func TestSampleOfIndexesByTheClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker(map[string]int{"maintenance": 2})
	s.eventually("the schedule is there", func() error {
		tag, err := s.db.Pool().Exec(t.Context(), `UPDATE schedules SET next_run_at = now() - interval '1 minute' WHERE kind = 'db.index_sample'`)
		if err == nil && tag.RowsAffected() != 1 {
			err = errors.New("not yet")
		}
		return err
	})
	s.eventually("a sample is taken", func() error {
		var status string
		err := s.db.Pool().QueryRow(t.Context(), `SELECT status FROM jobs WHERE organization_id = $1 AND kind = 'db.index_sample'`,
			store.OperatorOrganization).Scan(&status)
		if err == nil && status != store.Succeeded {
			err = fmt.Errorf("it is %s", status)
		}
		return err
	})
}
