package cli

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/jobs"
)

// prices reads MODEL=IN/OUT by commas, in dollars for a million tokens.
func (p *problems) prices(name, value string) map[string]inference.Price {
	const most = 10_000
	prices := make(map[string]inference.Price)
	for one := range strings.SplitSeq(value, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		model, amounts, _ := strings.Cut(one, "=")
		in, out, _ := strings.Cut(amounts, "/")
		first, err := strconv.ParseFloat(strings.TrimSpace(in), 64)
		second, err2 := strconv.ParseFloat(strings.TrimSpace(out), 64)
		model = strings.TrimSpace(model)
		_, twice := prices[model]
		switch {
		case err != nil || err2 != nil || model == "" || !(first >= 0 && first <= most && second >= 0 && second <= most):
			p.add(name, "want MODEL=IN/OUT in dollars for a million tokens, such as openai/gpt-oss-20b=0.075/0.30, got %q", one)
		case twice:
			p.add(name, "names %s twice", model)
		}
		prices[model] = inference.Price{In: first, Out: second}
	}
	return prices
}

// plans are those that organizations may have.
var plans = []string{"free", "basic", "pro", "enterprise"}

// aiRate is one of AI_RATE_LIMITS.
type aiRate struct {
	plan, kind string // "*": every plan; "": all kinds together
	limit      int
	window     time.Duration
}

// maxAIWindow is as long as a month may be.
const maxAIWindow = 31 * 24 * time.Hour

// check reads PLAN=N/TIME and PLAN:KIND=N/TIME by commas.
func (s aiLimitSettings) check(p *problems) (rates []aiRate) {
	const name = "AI_RATE_LIMITS"
	for one := range strings.SplitSeq(s.AIRateLimits, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		who, rate, _ := strings.Cut(one, "=")
		number, window, _ := strings.Cut(rate, "/")
		var r aiRate
		var err, err2 error
		r.plan, r.kind, _ = strings.Cut(strings.TrimSpace(who), ":")
		r.limit, err = strconv.Atoi(strings.TrimSpace(number))
		r.window, err2 = time.ParseDuration(strings.TrimSpace(window))
		switch {
		case err != nil || err2 != nil || r.limit < 1 || r.limit > 1_000_000 || r.window < time.Second || r.window > maxAIWindow:
			p.add(name, "want PLAN=N/TIME or PLAN:KIND=N/TIME with N from 1 to 1000000 and a time from 1s to 744h, such as free=20/1h, got %q", one)
		case r.plan != "*" && !slices.Contains(plans, r.plan):
			p.add(name, "there is no plan %q; want * or one of %s", r.plan, strings.Join(plans, ", "))
		case strings.Contains(who, ":") && !slices.Contains(aiKinds(), r.kind):
			p.add(name, "there is no kind %q that counts; there are %s", r.kind, strings.Join(aiKinds(), ", "))
		case slices.ContainsFunc(rates, func(o aiRate) bool { return o.plan == r.plan && o.kind == r.kind }):
			p.add(name, "names %s twice", who)
		default:
			rates = append(rates, r)
		}
	}
	return rates
}

// aiKinds are the kinds that clients have models asked by.
func aiKinds() (kinds []string) {
	for _, j := range jobs.All(jobs.Deps{}) {
		if strings.HasPrefix(j.Kind, "ai.") && j.Spec.Scope == "jobs" {
			kinds = append(kinds, j.Kind)
		}
	}
	return kinds
}

// limitersOf makes the limiters of rates: one for all that have the same window.
func limitersOf(rates []aiRate, redisURL string, log *slog.Logger) (list []api.AIRate, stop func(), err error) {
	limiters := make(map[time.Duration]*ratelimit.Limiter)
	stop = func() {
		for _, limiter := range limiters {
			_ = limiter.Close()
		}
	}
	for _, r := range rates {
		if limiters[r.window] == nil {
			limiter, err := newLimiter(r.window, redisURL, log)
			if err != nil {
				return nil, stop, err
			}
			limiters[r.window] = limiter
		}
		list = append(list, api.AIRate{Plan: r.plan, Kind: r.kind, Limit: r.limit, Limiter: limiters[r.window]})
	}
	return list, stop, nil
}
