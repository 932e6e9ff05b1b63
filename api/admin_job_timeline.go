package api

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// timelineOf tells what happened to a job, as far as it was written down: of an attempt that simply succeeded nothing
// is, but its end is the job's.
func timelineOf(d store.AdminJobDetail, view operator.JobDetail) []operator.JobMoment {
	moments := []operator.JobMoment{{At: view.CreatedAt, What: "created", Detail: createdBy(view)}}
	add := func(at *time.Time, what, detail string) {
		if at != nil && !at.IsZero() {
			moments = append(moments, operator.JobMoment{At: at.UTC(), What: what, Detail: detail})
		}
	}
	if d.Job != nil && d.River != nil {
		add(&d.River.CreatedAt, "routed", "River has it as job "+fmt.Sprint(d.River.ID))
	}
	if view.RunAt.Sub(view.CreatedAt) > time.Second && view.Status != store.Waiting {
		add(&view.RunAt, "due", "not before")
	}
	if d.Job != nil || view.Status == store.Running {
		add(view.StartedAt, "started", "the first attempt of the run")
	}
	for _, a := range view.Attempts {
		detail := fmt.Sprintf("attempt %d of run %d", a.Attempt, a.Run)
		if a.Error != nil {
			detail += ": " + atAGlance(*a.Error)
		}
		add(&a.EndedAt, a.Outcome, detail)
	}
	add(view.FinishedAt, "finished", view.Status)
	add(view.NextAttemptAt, "next", "attempt")
	slices.SortStableFunc(moments, func(a, b operator.JobMoment) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	for i := range moments[1:] {
		moments[i+1].AfterMS = moments[i+1].At.Sub(moments[i].At).Milliseconds()
	}
	return moments
}

func createdBy(view operator.JobDetail) string {
	switch {
	case view.Internal:
		return "started by a fact or the clock"
	case view.RequestID != nil:
		return "by request " + *view.RequestID
	}
	return "by the system"
}

// mostOfLine keeps a line one that is read at a glance.
const mostOfLine = 300

func atAGlance(text string) string {
	for i, r := range text {
		if r == '\n' || i > mostOfLine {
			return text[:i] + " …"
		}
	}
	return text
}
