package workers

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// noteTimeout bounds the writing of a note, which nothing depends on.
const noteTimeout = 5 * time.Second

// noted writes down how attempts ended that no client asked for, where they did otherwise than well. Those of requested
// jobs write by themselves, in the transaction that ends them.
func (c Config) noted(ctx context.Context, row *rivertype.JobRow, work func(context.Context) error) (err error) {
	ctx, journal := jobs.Keeping(ctx, c.Log, "river_job_id", row.ID, "kind", row.Kind, "attempt", row.Attempt)
	defer func() {
		v := recover()
		told := err
		if v != nil {
			told = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if note, worth := jobs.NoteOf(row, jobs.OutcomeOf(ctx, row, told), told, journal); worth {
			c.note(ctx, note)
		}
		if v != nil {
			panic(v) // River's own net catches it
		}
	}()
	return jobs.Plain(work(ctx))
}

func (c Config) note(ctx context.Context, a store.JobAttempt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := store.InsertJobAttempt(ctx, c.Relaxed.Pool(), a); err != nil {
		c.Log.Warn("attempt is not written down", "river_job_id", a.RiverJobID, "kind", a.Kind, "error", err)
	}
}
