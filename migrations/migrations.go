// Package migrations is the schema: numbered SQL files that never change once landed, run together with
// River's own under one advisory lock. A Migrator runs them on a database that is in use: it waits for a
// backup, gives way to long transactions, and mends what a killed migrator left.
package migrations

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// Up applies everything pending, River's migrations first, and returns the names of what it applied.
// The login of databaseURL becomes the owner of the tables; it must be allowed to create roles.
func Up(ctx context.Context, databaseURL string) ([]string, error) {
	return Migrator{DatabaseURL: databaseURL}.Up(ctx)
}

// Down takes back the newest migration of ours and returns its name. River's are never taken back.
func Down(ctx context.Context, databaseURL string) (string, error) {
	m := Migrator{DatabaseURL: databaseURL}
	undo, err := m.NextDown(ctx)
	if err != nil {
		return "", err
	}
	return undo.Name, m.Down(ctx, undo.Name)
}

// Status lists every migration of ours, in order. It takes no lock, so it answers while others migrate.
func Status(ctx context.Context, databaseURL string) ([]Step, error) {
	return Migrator{DatabaseURL: databaseURL}.Status(ctx)
}

// Latest is the version of the newest migration that this program knows.
func Latest() (int64, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, e := range entries {
		v, err := goose.NumericComponent(e.Name())
		if err != nil {
			return 0, err
		}
		latest = max(latest, v)
	}
	return latest, nil
}

// Up applies everything pending and returns the names of what it applied, also beside an error.
func (m Migrator) Up(ctx context.Context) ([]string, error) {
	r := newRun(m)
	err := r.locked(ctx, r.up)
	return r.applied, err
}

func (r *run) up(ctx context.Context) error {
	if err := r.try(ctx, "look at what the login may do", r.preflight); err != nil {
		return err
	}
	if err := r.try(ctx, "migrate river", r.river); err != nil {
		return err
	}
	for {
		var step *Step
		err := r.try(ctx, "look for pending migrations", func(ctx context.Context, s *session) (err error) {
			step, err = s.pending(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if step == nil {
			break
		}
		if err := r.apply(ctx, *step); err != nil {
			return err
		}
		r.applied = append(r.applied, step.Name)
	}
	// A database that was away for long, or restored, has no partition for today.
	err := r.try(ctx, "make outbox partitions", func(ctx context.Context, s *session) error {
		_, err := s.pool.Exec(ctx, `SELECT outbox_make_partitions(7)`)
		return err
	})
	if err != nil {
		return err
	}
	return r.try(ctx, "look for invalid indexes", noInvalidIndex)
}

func (r *run) river(ctx context.Context, s *session) error {
	river, err := rivermigrate.New(riverpgxv5.New(s.pool), nil)
	if err != nil {
		return err
	}
	result, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return err
	}
	for _, v := range result.Versions {
		r.applied = append(r.applied, fmt.Sprintf("river %03d %s", v.Version, v.Name))
	}
	return nil
}

// apply runs one migration. A try whose connection broke may have come through all the same; then the
// next try finds nothing to do.
func (r *run) apply(ctx context.Context, step Step) error {
	text, err := fs.ReadFile(r.files, step.Name)
	if err != nil {
		return err
	}
	index, concurrent := concurrentIndexOf(string(text))
	try := r.try
	if concurrent {
		try = r.tryConcurrently
	}
	return try(ctx, "apply "+step.Name, func(ctx context.Context, s *session) error {
		next, err := s.pending(ctx)
		if err != nil || next == nil || next.Version != step.Version {
			return err
		}
		if concurrent {
			if err := r.makeWay(ctx, s, index); err != nil {
				return err
			}
		}
		_, err = s.provider.UpByOne(ctx)
		return err
	})
}

// Status lists every migration of ours, in order. It takes no lock, so it answers while others migrate.
func (m Migrator) Status(ctx context.Context) ([]Step, error) {
	s, err := newRun(m).open(ctx, lockTimeout)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.status(ctx)
}

// Applied is the version of the newest migration that the database has. It is above Latest where a newer program has
// migrated.
func (m Migrator) Applied(ctx context.Context) (int64, error) {
	s, err := newRun(m).open(ctx, lockTimeout)
	if err != nil {
		return 0, err
	}
	defer s.close()
	return s.provider.GetDBVersion(ctx)
}
