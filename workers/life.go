package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// missedBeats are enough to call a process dead.
const missedBeats = 5

// ErrGivenAway ends a process that others took for dead: its jobs run elsewhere by now.
var ErrGivenAway = errors.New("this worker was silent for too long and its jobs were given to others; it must start again")

// A life shows that this process lives, and looks after the jobs of those that don't. River by itself
// would leave a killed process's jobs running for an hour.
type life struct {
	db   *store.DB
	id   string
	beat time.Duration
	log  *slog.Logger
	hand *inHand
	// report says what is known of the models' providers; nil: nothing is. told is what others were told of it.
	report func() []store.ProviderState
	told   []store.ProviderState
	lost   func([]store.Orphan) // hears of attempts that died; nil: nobody does
	alive  func()               // hears of each turn; nil: nobody does
	// regular is since when the beats have been getting through. After an outage of the database every
	// process looks silent; whoever was silent itself must not judge.
	regular time.Time
}

func (l *life) begin(ctx context.Context, queues map[string]int, kinds []string, version string) error {
	host, _ := os.Hostname()
	encoded, err := json.Marshal(queues)
	if err != nil {
		return fmt.Errorf("register the worker: %w", err)
	}
	return store.RegisterWorker(ctx, l.db.Pool(), store.WorkerProcess{
		ID: l.id, Host: host, PID: os.Getpid(), Queues: encoded, Kinds: kinds, Version: version,
	})
}

func (l *life) run(ctx context.Context) error {
	for {
		if err := pause(ctx, l.beat); err != nil {
			return err
		}
		if l.alive != nil {
			l.alive()
		}
		if err := l.turn(ctx); errors.Is(err, ErrGivenAway) {
			return err
		} else if err != nil && ctx.Err() == nil {
			l.regular = time.Time{}
			l.log.Warn("heartbeat is tried again", "worker_id", l.id, "error", err)
		}
	}
}

func (l *life) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.beat*missedBeats/2)
	defer cancel()
	news := l.news()
	alive, err := store.BeatWorker(ctx, l.db.Pool(), l.id, news)
	if err != nil {
		return err
	}
	if news != nil {
		l.told = news
	}
	if !alive {
		return ErrGivenAway
	}
	now := time.Now()
	if l.regular.IsZero() {
		l.regular = now
	}
	if now.Sub(l.regular) <= l.beat*missedBeats {
		return nil
	}
	settled := l.beat * missedBeats
	mine := l.hand.lately(3 * settled)
	return l.db.Tx(ctx, func(tx pgx.Tx) error {
		stray, err := store.GiveBackStray(ctx, tx, l.id, settled, mine)
		if err != nil {
			return err
		}
		if len(stray) > 0 {
			l.log.Warn("work that this process knows nothing of is given back", "worker_id", l.id, "count", len(stray))
		}
		if err := l.settle(ctx, tx, nil, stray); err != nil {
			return err
		}
		return l.rescue(ctx, tx)
	})
}

// news is what is known of providers where it differs from what was told.
func (l *life) news() []store.ProviderState {
	if l.report == nil {
		return nil
	}
	now := l.report()
	if reflect.DeepEqual(now, l.told) {
		return nil
	}
	return now
}

func (l *life) rescue(ctx context.Context, tx pgx.Tx) error {
	dead, err := store.RemoveSilentWorkers(ctx, tx, l.beat*missedBeats)
	if err != nil {
		return err
	}
	orphans, err := store.GiveBackOrphans(ctx, tx, l.beat*missedBeats)
	if err != nil {
		return err
	}
	return l.settle(ctx, tx, dead, orphans)
}

// settle writes down what died with its process, fails the jobs whose last attempt did, and tells of all.
func (l *life) settle(ctx context.Context, tx pgx.Tx, dead map[string]time.Time, orphans []store.Orphan) error {
	if l.lost != nil {
		l.lost(orphans)
	}
	for id := range dead {
		l.log.Warn("worker is dead", "worker_id", id)
	}
	for _, o := range orphans {
		l.log.Warn("job of a dead worker is given back", "river_job_id", o.RiverJobID, "kind", o.Kind,
			"job_id", o.JobID, "attempt", o.Attempt, "last_attempt", o.Discarded)
		if err := loseCalls(ctx, tx, o, dead); err != nil {
			return err
		}
		if err := l.lose(ctx, tx, o); err != nil {
			return err
		}
	}
	return nil
}

// lose writes down an attempt that died, and fails the job if it was the last one.
func (l *life) lose(ctx context.Context, tx pgx.Tx, o store.Orphan) error {
	note := jobs.LostNote(o)
	if !o.Discarded || o.JobID == "" {
		return store.InsertJobAttempt(ctx, tx, note)
	}
	j, err := store.LockJob(ctx, tx, o.OrganizationID, o.JobID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (j.Terminal() || j.Run != o.Run) {
		return nil
	}
	if err != nil {
		return err
	}
	return jobs.FailOf(ctx, tx, j, errWorkerLost, note)
}

// loseCalls writes down the calls of models that nobody waits for any more.
func loseCalls(ctx context.Context, tx pgx.Tx, o store.Orphan, dead map[string]time.Time) error {
	if o.JobID == "" {
		return nil
	}
	var alive *time.Time
	if last, ok := dead[o.Worker]; ok {
		alive = &last
	}
	return store.LoseCalls(ctx, tx, o.OrganizationID, o.JobID, alive)
}

var errWorkerLost = &jobs.Failure{
	Code: "worker_lost", Title: "Worker lost",
	Detail: "The process that worked on the job died in every attempt, the last one included.",
}

// end signs the process off. What River could not bring to an end goes back at once.
func (l *life) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.beat*missedBeats)
	defer cancel()
	return l.db.Tx(ctx, func(tx pgx.Tx) error {
		if err := store.UnregisterWorker(ctx, tx, l.id); err != nil {
			return err
		}
		orphans, err := store.GiveBackOrphansOf(ctx, tx, l.id)
		if err != nil {
			return err
		}
		return l.settle(ctx, tx, nil, orphans)
	})
}
