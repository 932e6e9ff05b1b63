package workers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestEveryScheduleParses(t *testing.T) {
	t.Parallel()
	n := 0
	for _, j := range jobs.All(jobs.Deps{}) {
		if j.Spec.Cron == "" {
			continue
		}
		n++
		if _, err := cron.ParseStandard(j.Spec.Cron); err != nil {
			t.Errorf("%s: %v", j.Kind, err)
		}
		if got := j.Due(); got.Args.Kind() != j.Kind || got.InsertOpts.Queue != j.Spec.Queue.Name {
			t.Errorf("%s starts %s in %s", j.Kind, got.Args.Kind(), got.InsertOpts.Queue)
		}
	}
	if n == 0 {
		t.Error("nothing is scheduled")
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	client, err := NewInserter(s.db.Pool(), s.table(), s.logged.log())
	if err != nil {
		t.Fatal(err)
	}
	three := make([]*schedules, 3)
	for i := range three {
		three[i] = &schedules{db: s.db, river: client, table: s.table(), log: s.logged.log()}
	}
	tick := func() {
		t.Helper()
		done := make(chan error, len(three))
		for _, one := range three {
			go func() { done <- one.tick(t.Context()) }()
		}
		for range three {
			if err := receive(t, "the tick", done); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := func() {
		t.Helper()
		for _, one := range three {
			if err := one.store(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	started := func(want int) {
		t.Helper()
		var got int
		if s.scan(&got, `SELECT count(*) FROM river_job WHERE kind = 'test.chore'`); got != want {
			t.Fatalf("started %d times, want %d", got, want)
		}
	}
	row := func() store.Schedule {
		t.Helper()
		list, err := s.db.Schedules(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%d schedules, %v", len(list), err)
		}
		return list[0]
	}
	begin()
	first := row()
	if u := first.NextRunAt.UTC(); u.Hour() != 2 || u.Minute() != 0 || u.Before(time.Now()) || time.Until(u) > 24*time.Hour {
		t.Fatalf("first due at %s", u)
	}
	tick()
	started(0)

	// An outage of days: three ticks were missed, one is made up for.
	missed := time.Now().Add(-72 * time.Hour).Truncate(time.Second)
	if _, err := s.db.Pool().Exec(t.Context(), `UPDATE schedules SET next_run_at = $1`, missed); err != nil {
		t.Fatal(err)
	}
	begin()
	if got := row().NextRunAt; !got.Equal(missed) {
		t.Fatalf("a restart moved the schedule from %s to %s", missed, got)
	}
	tick()
	tick()
	started(1)
	if got := row(); !got.NextRunAt.Equal(first.NextRunAt) || got.LastRunAt == nil {
		t.Fatalf("next at %s, last %v; want %s", got.NextRunAt, got.LastRunAt, first.NextRunAt)
	}
	begin()
	tick()
	started(1)

	// The clock was ahead by years when it ran, and is right again: it is put right, and not started.
	ahead := func(by string) {
		t.Helper()
		if _, err := s.db.Pool().Exec(t.Context(), `UPDATE schedules SET last_run_at = now() + $1::interval, next_run_at = now() + $1::interval + '1 day'`, by); err != nil {
			t.Fatal(err)
		}
		tick()
	}
	ahead("3 years")
	started(1)
	if got := row().NextRunAt; !got.Equal(first.NextRunAt) {
		t.Fatalf("a clock that was ahead left the schedule at %s, want %s", got, first.NextRunAt)
	}
	// A few seconds are no reason, or it would run twice.
	ahead("30 seconds")
	started(1)
	if got := row().NextRunAt; got.Equal(first.NextRunAt) {
		t.Fatalf("a clock that was set back by seconds moved the schedule to %s", got)
	}

	// The owner wants it no more: what was due at that moment isn't started either.
	if _, err := s.db.Pool().Exec(t.Context(), `UPDATE schedules SET next_run_at = $1`, missed); err != nil {
		t.Fatal(err)
	}
	for _, one := range three {
		one.table = slices.Clone(one.table)
		for i := range one.table {
			one.table[i].Spec.Cron = jobs.NoCron
		}
	}
	begin()
	tick()
	started(1)
	if list, err := s.db.Schedules(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("schedules %v, %v after they were switched off", list, err)
	}
}
