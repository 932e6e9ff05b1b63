package sampledata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// JobOptions say how many ended jobs are made.
type JobOptions struct {
	Jobs          int      // rows of River's; four in six of them have a row of ours
	Organizations []string // ids of whose they are; some have far more than others
	Seed          uint64
	Now           time.Time // the last of them ended just before; zero: now
	// Fingerprint names the sort of a failure; nil: their attempts are not written.
	Fingerprint func(kind, code, message string) string
	Progress    func(table string, rows int64) // may be nil

	bigLoad int64 // stands in for the package's in tests
}

// jobSpan is how far back the jobs lie: River deletes what has ended a day ago.
const jobSpan = 20 * time.Hour

const jobKeys = `
SELECT setval(pg_get_serial_sequence('river_job', 'id'), nextval(pg_get_serial_sequence('river_job', 'id')) + $1) - $1`

const workersAlive = `SELECT EXISTS (SELECT FROM worker_processes WHERE heartbeat_at > now() - interval '10 seconds')`

const analyzeJobs = `ANALYZE jobs, river_job, job_attempts`

var jobTables = []string{"jobs", "river_job", "job_attempts"}

// FillJobs makes jobs that have ended, all of them or none: succeeded for the most part, some failed, for reasons of
// which some are frequent and some are rare, and some cancelled. None is left to be worked. It needs a connection of the
// tables' owner. Where no worker lives, many are loaded as Fill does a big load.
func FillJobs(ctx context.Context, conn *pgx.Conn, o JobOptions) error {
	if o.Jobs < 1 || o.Jobs > Most {
		return fmt.Errorf("the number of jobs is from 1 to %d", Most)
	}
	if len(o.Organizations) == 0 {
		return errors.New("jobs need an organization")
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if err := mayCopy(ctx, conn); err != nil {
		return err
	}
	state, err := conn.LoadType(ctx, "river_job_state")
	if err != nil {
		return fmt.Errorf("read River's states: %w", err)
	}
	conn.TypeMap().RegisterType(state)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		m := &jobMaker{JobOptions: o, chance: newChance(o.Seed)}
		if err := tx.QueryRow(ctx, jobKeys, o.Jobs).Scan(&m.first); err != nil {
			return fmt.Errorf("take ids: %w", err)
		}
		return m.load(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("fill jobs: %w", again(err))
	}
	// What is not known to be visible is looked up in the table, row by row.
	if _, err := conn.Exec(ctx, `VACUUM (ANALYZE) jobs, river_job, job_attempts`); err != nil {
		return fmt.Errorf("vacuum the tables: %w", err)
	}
	return nil
}

func (m *jobMaker) load(ctx context.Context, tx pgx.Tx) error {
	back, err := m.strip(ctx, tx)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		name    string
		columns []string
		rows    pgx.CopyFromSource
	}{
		{"river_job", riverJobColumns, one(m.Jobs, m.riverRow)},
		{"jobs", jobColumns, many(m.Jobs, m.jobRows)},
		{"job_attempts", attemptColumns, many(m.Jobs, m.attemptRows)},
	} {
		n, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, t.rows)
		if err != nil {
			return fmt.Errorf("copy %s: %w", t.name, err)
		}
		if m.Progress != nil {
			m.Progress(t.name, n)
		}
	}
	if len(back) == 0 {
		return nil
	}
	return restore(ctx, tx, analyzeJobs, back)
}

// strip takes indexes away where that is worth while and nobody is at work.
func (m *jobMaker) strip(ctx context.Context, tx pgx.Tx) ([]string, error) {
	var alive bool
	if err := tx.QueryRow(ctx, workersAlive).Scan(&alive); err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	big, err := isBig(ctx, tx, jobTables, 2*int64(m.Jobs), m.bigLoad)
	if err != nil || alive || !big {
		return nil, err
	}
	return strip(ctx, tx, jobTables)
}
