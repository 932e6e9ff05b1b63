package jobs

import (
	"context"
	"errors"
	"strconv"

	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
)

// An Outcome is what became of one attempt. There are few of them, and none has anything of the job in it.
type Outcome string

// The outcomes of attempts.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"    // for good: nothing more will be tried
	Retried   Outcome = "retried"   // it went wrong, and there will be another
	Waiting   Outcome = "waiting"   // put off, as something that it needs is away; no attempt is used up
	Cancelled Outcome = "cancelled" // by somebody, or the job was overtaken or had ended elsewhere
	Returned  Outcome = "returned"  // the process stopped, and the job went back to its queue
	Lost      Outcome = "lost"      // its process died, or lost it, in the middle
)

// OutcomeOf reads what an attempt told River. The context is the one that River began it with.
func OutcomeOf(ctx context.Context, row *rivertype.JobRow, err error) Outcome {
	var (
		snooze *rivertype.JobSnoozeError
		cancel *rivertype.JobCancelError
	)
	switch {
	case err == nil:
		return Succeeded
	case errors.As(err, &snooze):
		return Waiting
	case errors.Is(err, errOvertaken), errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return Cancelled
	case errors.As(err, &cancel):
		return Failed
	case ctx.Err() != nil:
		return Returned
	case row.Attempt >= row.MaxAttempts:
		return Failed
	}
	return Retried
}

// ClassOf is why an attempt went wrong, in one of few words: the code that the job fails with, or the class of the
// failure of a model. It has nothing of the job in it.
func ClassOf(err error) string {
	var (
		failure *Failure
		model   *inference.Error
	)
	switch {
	case errors.As(err, &failure):
		return failure.Code
	case errors.As(err, &model):
		return model.Class
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	}
	return codeInternal
}

// A Note is what an attempt learns of its job that River's row doesn't have.
type Note struct {
	// TraceParent is the W3C trace context of the request that asked for the job, "" where there is none.
	TraceParent string
}

// SampledTrace is the id of the job's trace, "" where there is none or nobody keeps it.
func (n *Note) SampledTrace() string {
	const flags, sampled = 53, 1
	if len(n.TraceParent) < flags+2 {
		return ""
	}
	if f, err := strconv.ParseUint(n.TraceParent[flags:flags+2], 16, 8); err != nil || f&sampled == 0 {
		return ""
	}
	return telemetry.TraceID(n.TraceParent)
}

type noteKey struct{}

// Noting gives a context for one attempt, and the note that it is to fill in before it returns.
func Noting(ctx context.Context) (context.Context, *Note) {
	n := &Note{}
	return context.WithValue(ctx, noteKey{}, n), n
}

// note fills the note in, where somebody wants one.
func note(ctx context.Context, j store.Job) {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok && j.TraceParent != nil {
		n.TraceParent = *j.TraceParent
	}
}
