package cli

import (
	"context"
	"fmt"
	"time"
)

// examGrace is how much longer an exam is waited for than it has: some libraries notice late that their time is up.
const examGrace = 2 * time.Second

// An exam is one look at something, in its own time.
type exam struct {
	check  string // what is said not to have answered
	within time.Duration
	look   func(context.Context, *doctor)
}

// examine makes exams at the same time, so that what hangs holds nothing else up, and keeps what they found in their
// order.
func (d *doctor) examine(ctx context.Context, exams ...exam) {
	results := make([]chan []finding, len(exams))
	for i, e := range exams {
		results[i] = make(chan []finding, 1)
		go func() { results[i] <- e.run(ctx) }()
	}
	for _, result := range results {
		d.findings = append(d.findings, <-result...)
	}
}

// run gives what was found. What hangs although its time is over is left behind: the process ends soon.
func (e exam) run(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, e.within)
	defer cancel()
	done := make(chan []finding, 1)
	go func() {
		var own doctor
		e.look(ctx, &own)
		done <- own.findings
	}()
	late := time.NewTimer(e.within + examGrace)
	defer late.Stop()
	select {
	case found := <-done:
		return found
	case <-late.C:
		return []finding{{Check: e.check, State: broken, Detail: fmt.Sprintf("nothing was heard within %s", e.within+examGrace),
			Remedy: "see whether it hangs, and what is between here and there"}}
	}
}
