package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
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
	err = l.giveBack(ctx, astray, func(tx pgx.Tx) ([]store.Orphan, map[string]time.Time, error) {
		stray, err := store.GiveBackStray(ctx, tx, giveBackBatch, l.id, settled, mine)
		return stray, nil, err
	})
	if err != nil {
		return err
	}
	return l.giveBack(ctx, ofTheDead, func(tx pgx.Tx) ([]store.Orphan, map[string]time.Time, error) {
		return rescue(ctx, tx, settled)
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

// giveBackBatch is how many jobs are given back in one transaction: a turn gets some of many done, however slow the
// database is.
const giveBackBatch = 5

const (
	ofTheDead = "job of a dead worker is given back"
	astray    = "work that this process knows nothing of is given back"
	unended   = "work that this process could not bring to an end is given back"
)

// giveBack takes jobs from those that have them, a batch at a time, until there are none left or the turn is over. take
// gives them with the last signs of life of processes that are dead when it gives less than a batch.
func (l *life) giveBack(ctx context.Context, what string, take func(pgx.Tx) ([]store.Orphan, map[string]time.Time, error)) error {
	for batch := 0; ; batch++ {
		var orphans []store.Orphan
		var dead map[string]time.Time
		err := l.db.Tx(ctx, func(tx pgx.Tx) (err error) {
			if orphans, dead, err = take(tx); err != nil {
				return err
			}
			return l.settle(ctx, tx, dead, orphans)
		})
		switch {
		case err != nil && batch > 0 && ctx.Err() != nil:
			return nil // the next turn goes on
		case err != nil:
			return err
		}
		l.tell(what, orphans)
		if len(orphans) < giveBackBatch {
			l.mourn(dead)
			return nil
		}
	}
}

// rescue takes the jobs of processes that were silent for so long. Those that have none left are dead; one that comes
// back before works on with what was not taken.
func rescue(ctx context.Context, tx pgx.Tx, silence time.Duration) ([]store.Orphan, map[string]time.Time, error) {
	silent, err := store.LockSilentWorkers(ctx, tx, silence)
	if err != nil {
		return nil, nil, err
	}
	ids := slices.AppendSeq([]string{}, maps.Keys(silent))
	orphans, err := store.GiveBackOrphans(ctx, tx, giveBackBatch, silence, ids)
	if err != nil {
		return nil, nil, err
	}
	if len(orphans) == giveBackBatch || len(ids) == 0 {
		return orphans, silent, nil
	}
	return orphans, silent, store.RemoveWorkers(ctx, tx, ids)
}

// tell says what was given back, once it is.
func (l *life) tell(what string, orphans []store.Orphan) {
	if l.lost != nil {
		l.lost(orphans)
	}
	for _, o := range orphans {
		l.log.Warn(what, "worker_id", o.Worker, "river_job_id", o.RiverJobID, "kind", o.Kind,
			"job_id", o.JobID, "attempt", o.Attempt, "last_attempt", o.Discarded)
	}
}

func (l *life) mourn(dead map[string]time.Time) {
	for id := range dead {
		l.log.Warn("worker is dead", "worker_id", id)
	}
}

// settle writes down what died with its process, where dead holds the last signs of life, and fails the jobs whose last
// attempt did.
func (l *life) settle(ctx context.Context, tx pgx.Tx, dead map[string]time.Time, orphans []store.Orphan) error {
	for _, o := range orphans {
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
	err := l.giveBack(ctx, unended, func(tx pgx.Tx) ([]store.Orphan, map[string]time.Time, error) {
		orphans, err := store.GiveBackOrphansOf(ctx, tx, giveBackBatch, l.id)
		return orphans, nil, err
	})
	if err != nil {
		return err
	}
	return store.UnregisterWorker(ctx, l.db.Pool(), l.id)
}
