package migrations

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// Whoever asks for a table after a waiting ALTER TABLE waits behind it, so a try is short.
	lockTimeout = 5 * time.Second
	// How often a run looks at what it does and waits for.
	pace = 500 * time.Millisecond
	// How often it says the same thing again.
	repeat = 5 * time.Second
	// Long enough for most backups and reports.
	patience = 10 * time.Minute
)

// A Migrator brings the schema of one database up to date, or takes it back.
type Migrator struct {
	// DatabaseURL has the login that owns the tables, without a pooler between: the lock is a session's.
	DatabaseURL string
	// Report is told in one line what is done or waited for, when that changes and every few seconds. It
	// is called by one goroutine at a time; nil tells nobody.
	Report func(line string)
	// Patience bounds each single wait: for a backup or another migration, for locks that others hold, for
	// a database that restarts. Zero is ten minutes.
	Patience time.Duration

	files       fs.FS
	lockTimeout time.Duration
	pace        time.Duration
}

// A Step is one migration and whether it has been applied.
type Step struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: pending
}

// run is one use of a Migrator.
type run struct {
	Migrator
	lock    *pgx.Conn // holds the lock, and sees what the session that works is waiting for
	session *session  // kept from try to try
	applied []string

	mu     sync.Mutex
	said   string
	saidAt time.Time
}

func newRun(m Migrator) *run {
	if m.files == nil {
		m.files = files
	}
	m.Patience = cmp.Or(m.Patience, patience)
	m.lockTimeout = cmp.Or(m.lockTimeout, lockTimeout)
	m.pace = cmp.Or(m.pace, pace)
	return &run{Migrator: m}
}

// say reports what is new, or has lasted: topic is the same as long as only figures change.
func (r *run) say(topic, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Report == nil || topic == r.said && time.Since(r.saidAt) < repeat {
		return
	}
	r.said, r.saidAt = topic, time.Now()
	r.Report(fmt.Sprintf(format, args...))
}

// session is the connections that tries with one lock_timeout share, until one goes wrong.
type session struct {
	lockTimeout time.Duration

	pool     *pgxpool.Pool
	db       *sql.DB
	provider *goose.Provider

	mu   sync.Mutex
	pids []int32 // of its backends
}

func (r *run) config(lockTimeout time.Duration) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(r.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	config.MaxConns = 4
	parameters := config.ConnConfig.RuntimeParams
	parameters["application_name"] = "payaid-migrate"
	parameters["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	parameters["statement_timeout"] = "0"
	parameters["idle_session_timeout"] = "0"
	// A migrator that freezes in a transaction must not hold its locks for ever.
	parameters["idle_in_transaction_session_timeout"] = "60s"
	return config, nil
}

func (r *run) open(ctx context.Context, lockTimeout time.Duration) (*session, error) {
	config, err := r.config(lockTimeout)
	if err != nil {
		return nil, err
	}
	s := &session{lockTimeout: lockTimeout}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pids = append(s.pids, int32(conn.PgConn().PID()))
		return nil
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	s.db = stdlib.OpenDBFromPool(s.pool)
	if s.provider, err = goose.NewProvider(goose.DialectPostgres, s.db, r.files); err != nil {
		s.close()
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return s, nil
}

func (s *session) close() {
	_ = s.db.Close() // only says that the pool is closed below
	s.pool.Close()
}

func (s *session) backends() []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int32{}, s.pids...)
}

func (s *session) status(ctx context.Context) ([]Step, error) {
	all, err := s.provider.Status(ctx)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, m := range all {
		steps = append(steps, Step{Version: m.Source.Version, Name: m.Source.Path, AppliedAt: m.AppliedAt})
	}
	return steps, nil
}

// pending is the first migration that is, or nil.
func (s *session) pending(ctx context.Context) (*Step, error) {
	steps, err := s.status(ctx)
	for _, step := range steps {
		if step.AppliedAt.IsZero() {
			return &step, err
		}
	}
	return nil, err
}

// newest is the last migration that was applied, or nil.
func (s *session) newest(ctx context.Context) (*Step, error) {
	steps, err := s.status(ctx)
	var newest *Step
	for _, step := range steps {
		if !step.AppliedAt.IsZero() {
			newest = &step
		}
	}
	return newest, err
}

// wait is a pause between tries that doubles, until patience is over.
type wait struct {
	until time.Time
	pause time.Duration
	most  time.Duration
}

func (r *run) newWait() *wait {
	return &wait{until: time.Now().Add(r.Patience), pause: r.pace, most: 20 * r.pace}
}

var errPatience = errors.New("out of patience")

// next pauses, or says that there is no more time.
func (w *wait) next(ctx context.Context) error {
	left := time.Until(w.until)
	if left <= 0 {
		return errPatience
	}
	timer := time.NewTimer(min(w.pause, left))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		w.pause = min(2*w.pause, w.most)
		return nil
	}
}
