package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	checkTimeout = 3 * time.Second
	// Without what is not required the answer is the same, and who asks gives up after a second, as a rule:
	// a Redis that hangs must not take the whole service away.
	besideTimeout = 500 * time.Millisecond
	// Probes of load balancers and strangers cost at most this many rounds of checks.
	checkEvery = 500 * time.Millisecond
)

type checkReport struct {
	Name      string `json:"name"`
	Required  bool   `json:"required"`
	OK        bool   `json:"ok"`
	Detail    string `json:"detail"`
	LatencyMS int64  `json:"latency_ms"`
	public    string // what is wrong, where strangers may read it
}

// healthCache keeps the last round of checks; one round runs at a time.
type healthCache struct {
	mu      sync.Mutex
	at      time.Time
	reports []checkReport
}

// StatusView says in a word how the service is.
type StatusView struct {
	Status string `json:"status" enum:"ok,degraded" doc:"degraded: something that is not required is away. Where details are shown, also: one of them is degraded"`
}

type statusOutput struct{ Body StatusView }

type noInput struct{}

// livez says that the process runs; it asks nobody.
func (s *Server) livez(context.Context, *noInput) (*statusOutput, error) {
	return &statusOutput{StatusView{"ok"}}, nil
}

// readyz says whether requests can be answered.
func (s *Server) readyz(ctx context.Context, _ *noInput) (*statusOutput, error) {
	status, err := s.status(s.check(ctx))
	if err != nil {
		return nil, err
	}
	return &statusOutput{StatusView{status}}, nil
}

type healthView struct {
	StatusView
	Version       string         `json:"version,omitempty"`
	UptimeSeconds int64          `json:"uptime_seconds,omitempty"`
	Checks        []checkReport  `json:"checks,omitempty"`
	Pool          *poolView      `json:"pool,omitempty"`
	RateLimit     *rateLimitView `json:"rate_limit,omitempty"`
	Details       []healthDetail `json:"details,omitempty" doc:"What else someone should look at; none of it makes the service unready"`
}

// poolView is how this process uses its connections to the database.
type poolView struct {
	Size       int   `json:"size" doc:"Connections for the usual load (DB_POOL_SIZE)"`
	Overflow   int   `json:"overflow" doc:"Connections beyond those, for bursts (DB_POOL_OVERFLOW)"`
	InUse      int   `json:"in_use"`
	Idle       int   `json:"idle"`
	BurstInUse int   `json:"burst_in_use" doc:"Of those in use, how many are beyond the size"`
	Waits      int64 `json:"waits" doc:"How often a connection was had only after waiting, since the process began"`
	WaitMS     int64 `json:"wait_ms" doc:"How long these waits took, together"`
	Timeouts   int64 `json:"timeouts" doc:"Waits in vain, answered 503"`
}

// rateLimitView is how this process counts requests.
type rateLimitView struct {
	State     string `json:"state" enum:"redis,alone,away" doc:"redis: over all processes; alone: no Redis is configured; away: Redis can't be asked, so each process counts alone"`
	Fallbacks uint64 `json:"fallbacks" doc:"Requests that were counted by this process alone as Redis could not be asked"`
}

type healthOutput struct{ Body healthView }

// systemHealth is readyz with what was found, for those with the admin scope.
func (s *Server) systemHealth(ctx context.Context, _ *noInput) (*healthOutput, error) {
	reports := s.check(ctx)
	status, err := s.status(reports)
	x := exchangeOf(ctx)
	trusted := x.caller.scopes&adminRead != 0
	if err != nil {
		p := s.problem(x, err)
		if trusted {
			p.Checks, p.Pool = reports, s.poolView()
		}
		return nil, p
	}
	out := &healthOutput{healthView{StatusView: StatusView{status}}}
	if trusted {
		out.Body.Version, out.Body.Checks = s.Version, reports
		out.Body.UptimeSeconds = int64(time.Since(s.started).Seconds())
		out.Body.Pool = s.poolView()
		out.Body.Details = s.details(ctx)
		if slices.ContainsFunc(out.Body.Details, func(d healthDetail) bool { return d.State == stateDegraded }) {
			out.Body.Status = stateDegraded
		}
		if s.Limiter != nil {
			out.Body.RateLimit = &rateLimitView{State: string(s.Limiter.State()), Fallbacks: s.Limiter.Fallbacks()}
		}
	}
	return out, nil
}

func (s *Server) poolView() *poolView {
	p := s.DB.Stats()
	return &poolView{Size: p.Base, Overflow: p.Overflow, InUse: p.InUse, Idle: p.Idle, BurstInUse: p.BurstInUse,
		Waits: p.Waits, WaitMS: p.WaitTime.Milliseconds(), Timeouts: p.Timeouts}
}

func (s *Server) status(reports []checkReport) (string, error) {
	if s.leaving.Load() || s.isDraining() {
		return "", refuse("not_ready", "the process is about to end").with("Retry-After", "5")
	}
	status := "ok"
	var missing []string
	for _, r := range reports {
		if r.OK {
			continue
		}
		status = "degraded"
		if r.Required {
			missing = append(missing, cmp.Or(r.public, r.Name+" can't be used now"))
		}
	}
	if len(missing) > 0 {
		return "", refuse("not_ready", strings.Join(missing, "; ")).with("Retry-After", "5")
	}
	return status, nil
}

func (s *Server) check(ctx context.Context) []checkReport {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < checkEvery {
		return h.reports
	}
	// The round serves others too, so the client that happens to start it can't cut it short.
	ctx = context.WithoutCancel(ctx)
	reports := make([]checkReport, len(s.Checks))
	var wg sync.WaitGroup
	for i, c := range s.Checks {
		wg.Go(func() { reports[i] = probe(ctx, c) })
	}
	wg.Wait()
	h.at, h.reports = time.Now(), reports
	return reports
}

func probe(ctx context.Context, c Check) checkReport {
	within := besideTimeout
	if c.Required {
		within = checkTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	start := time.Now()
	detail, err := c.Probe(ctx)
	r := checkReport{Name: c.Name, Required: c.Required, OK: err == nil, Detail: detail,
		LatencyMS: time.Since(start).Milliseconds()}
	if err != nil {
		r.Detail = err.Error()
	}
	var unusable *store.UnusableError
	if errors.As(err, &unusable) {
		r.public = unusable.Reason()
	}
	return r
}
