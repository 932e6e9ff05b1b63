package mail

import (
	"context"
	"sync"
	"time"
)

// After an outage mail begins slowly: a server that has just come up isn't met by all that has waited. The rate
// doubles with each step, and isn't bounded after the last.
const (
	rampFrom  = 5.0 // mails in a second
	rampStep  = 3 * time.Second
	rampSteps = 7 // up to 320 in a second
)

// pacer spaces mails evenly.
type pacer struct {
	rate float64 // in a second; 0 is no bound

	mu      sync.Mutex
	ramping time.Time // since when; zero if it isn't
	next    time.Time
}

// ramp begins slowly.
func (p *pacer) ramp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ramping = time.Now()
}

// wait returns when the next mail may begin, in the order of the calls.
func (p *pacer) wait(ctx context.Context) error {
	d := p.reserve(time.Now())
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return calledOff(ctx, StepConnect)
	}
}

func (p *pacer) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := p.now(now)
	if rate == 0 {
		p.next = time.Time{}
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(time.Second) / rate))
	return wait
}

// now is the bound of this moment, 0 if there is none.
func (p *pacer) now(now time.Time) float64 {
	if p.ramping.IsZero() {
		return p.rate
	}
	step := int(now.Sub(p.ramping) / rampStep)
	if step >= rampSteps {
		p.ramping = time.Time{}
		return p.rate
	}
	ramp := rampFrom * float64(int(1)<<step)
	if p.rate == 0 || ramp < p.rate {
		return ramp
	}
	return p.rate
}
