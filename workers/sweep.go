package workers

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

const (
	sweepEvery  = 250 * time.Millisecond
	expireEvery = time.Second
	expireMost  = 200
)

// A sweep ends jobs whose deadline has passed, and moves organizations' next jobs into the places that
// came free. Every process sweeps; a lock lets one do it at a time.
type sweep struct {
	db    *store.DB
	hints jobs.Hints
	river *river.Client[pgx.Tx]
	table []jobs.Job
	log   *slog.Logger
	// adriftEvery is how often it looks for jobs adrift.
	adriftEvery time.Duration
	// When it last looked for expired jobs, and for jobs adrift.
	expired, adrift time.Time
}

func (s *sweep) run(ctx context.Context) error {
	return every(ctx, sweepEvery, s.log, "sweep", s.turn)
}

// sweepLock is the transaction's advisory lock.
const sweepLock int64 = 0x70617961_6964_0004

func (s *sweep) turn(ctx context.Context) error {
	var ended []string
	err := s.db.Tx(ctx, func(tx pgx.Tx) error {
		var got bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sweepLock).Scan(&got); err != nil || !got {
			return err
		}
		var err error
		if time.Since(s.expired) >= expireEvery {
			s.expired = time.Now()
			if ended, err = s.expire(ctx, tx); err != nil {
				return err
			}
		}
		if time.Since(s.adrift) >= s.adriftEvery {
			s.adrift = time.Now()
			drifted, err := s.collect(ctx, tx)
			if ended = append(ended, drifted...); err != nil {
				return err
			}
		}
		return s.promote(ctx, tx)
	})
	if err != nil {
		return err
	}
	for _, id := range ended {
		s.hints.JobChanged(id)
	}
	if len(ended) > 0 {
		s.hints.OutboxChanged()
	}
	return nil
}

// expire fails what has not ended by its deadline. A worker that has such a job in hands fails it by
// itself; whoever is first wins.
func (s *sweep) expire(ctx context.Context, tx pgx.Tx) (ended []string, err error) {
	expired, err := store.ExpiredJobs(ctx, tx, expireMost)
	if err != nil {
		return nil, err
	}
	for _, j := range expired {
		if err := jobs.Fail(ctx, tx, j, jobs.Expired(*j.Deadline)); err != nil {
			return nil, err
		}
		ended = append(ended, j.ID)
	}
	if len(ended) > 0 {
		s.log.Info("jobs passed their deadline", "count", len(ended))
	}
	return ended, nil
}

// promote gives organizations that had asked for more than their share the places that came free, where
// others compete with them. Where nobody does, the jobs behind the share run anyway.
func (s *sweep) promote(ctx context.Context, tx pgx.Tx) error {
	shares := make(map[string]int)
	for _, q := range jobs.Queues() {
		shares[q.Name] = q.Share
	}
	waiting, err := store.OverflowingOrganizations(ctx, tx)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		share, ok := shares[w.Queue]
		if !ok {
			share = jobs.Maintenance.Share
		}
		if err := store.PromoteJobs(ctx, tx, w.OrganizationID, w.Queue, share); err != nil {
			return err
		}
	}
	return nil
}
