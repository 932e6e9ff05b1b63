package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
)

// An AIRate is how many AI jobs an organization may submit in a window. Of the rates for all kinds that of the
// organization's plan counts before that of every plan, and so it is with those for one kind. A job must keep to
// both, that for all kinds and that for its own.
type AIRate struct {
	Plan    string // "*": every plan
	Kind    string // "": all kinds together
	Limit   int
	Limiter *ratelimit.Limiter // of the rate's window; rates with the same window may share one
}

// named is how the rate is told of.
func (r AIRate) named(plan string) string {
	what := "AI jobs"
	if r.Kind != "" {
		what = "jobs of " + r.Kind
	}
	return fmt.Sprintf("the plan %s allows %d %s in %s", plan, r.Limit, what, span(r.Limiter.Window()))
}

// span writes a window as a person does: 1h, 90s.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%unit.of == 0 {
			return strconv.FormatInt(int64(d/unit.of), 10) + unit.name
		}
	}
	return written(d.Seconds()) + "s"
}

// rate finds the rate for a kind, or for all kinds together, on a plan.
func (s *Server) rate(plan, kind string) (AIRate, bool) {
	for _, p := range []string{plan, "*"} {
		for _, r := range s.AIRates {
			if r.Plan == p && r.Kind == kind {
				return r, true
			}
		}
	}
	return AIRate{}, false
}

// aiCount is how many AI jobs of each kind an organization wants, and its terms.
type aiCount struct {
	terms store.AITerms
	kinds map[string]int
}

// takeRates counts AI jobs, all or none. giveBack is for jobs that come to nothing after all. It needs no connection
// to the database: who holds one may call it.
func (s *Server) takeRates(ctx context.Context, x *exchange, ai aiCount) (giveBack func(), err error) {
	var taken []ratelimit.Taken
	giveBack = func() {
		for _, t := range taken {
			t.GiveBack(ctx)
		}
	}
	if len(ai.kinds) == 0 || len(s.AIRates) == 0 {
		return giveBack, nil
	}
	all := 0
	for _, n := range ai.kinds {
		all += n
	}
	wanted := map[string]int{"": all}
	maps.Copy(wanted, ai.kinds)
	for _, kind := range slices.Sorted(maps.Keys(wanted)) {
		rate, ok := s.rate(ai.terms.Plan, kind)
		if !ok {
			continue
		}
		client := "ai:" + x.caller.OrganizationID + ":" + kind + ":" + span(rate.Limiter.Window())
		r, t := rate.Limiter.TakeN(ctx, client, rate.Limit, wanted[kind])
		if !r.Allowed {
			giveBack()
			return func() {}, overRate(rate, ai.terms.Plan, wanted[kind], r)
		}
		taken = append(taken, t)
	}
	return giveBack, nil
}

// overRate refuses jobs that are too many.
func overRate(rate AIRate, plan string, n int, r ratelimit.Result) error {
	detail := rate.named(plan)
	switch {
	case n > rate.Limit:
		detail += fmt.Sprintf("; these %d are more than it ever takes at once", n)
	case r.Remaining > 0:
		detail += fmt.Sprintf(", and %d more now; these are %d", r.Remaining, n)
	}
	return refuse("ai_rate_limited", detail).with("Retry-After", strconv.FormatInt(max(1, seconds(r.RetryAfter)), 10))
}
