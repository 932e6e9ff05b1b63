package chaos

import (
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"
)

var hooksFlag = flag.Int("hooks", 1000, "how many events the tests of webhooks tell")

const (
	healthyReceivers = 10
	// A healthy receiver takes a moment, as one on another machine does: what holds such ones up is a lack of slots.
	healthyPause = 20 * time.Millisecond
	warmUp       = 100
	// A healthy receiver may wait this much longer when others are sick.
	sickCost = 1.5
	// Other programs slow this machine for a while, in one of the two runs; hardly three times in the same one.
	isolationTries = 3
)

// TestSickReceiversCostTheHealthyLittle tells ten healthy receivers of a thousand events, and then those and ten sick ones
// of as many, five of which hang and five of which answer 500.
func TestSickReceiversCostTheHealthyLittle(t *testing.T) {
	t.Parallel()
	var ratio float64
	for try := range isolationTries {
		t.Run(fmt.Sprint(try+1), func(t *testing.T) {
			alone, beside := isolation(t)
			ratio = beside.Seconds() / alone.Seconds()
			t.Logf("%d events to %d receivers: %s alone, %s beside sick ones: %.2f times", *hooksFlag, healthyReceivers,
				alone.Round(time.Millisecond), beside.Round(time.Millisecond), ratio)
		})
		if t.Failed() || ratio <= sickCost {
			return
		}
	}
	t.Errorf("healthy receivers wait %.2f times as long beside sick ones, want %.1f at most", ratio, sickCost)
}

// isolation gives how long the healthy receivers waited for the last of their events, alone and beside sick ones.
func isolation(t *testing.T) (alone, beside time.Duration) {
	t.Helper()
	p := newPartnership(t, 1)
	var healthy []*receiver
	for i := range healthyReceivers {
		r := newReceiver(t, fmt.Sprintf("healthy-%d", i+1), slowly(healthyPause, answersWith(http.StatusNoContent)))
		p.own.subscribe(t, r, `"contact.*"`)
		healthy = append(healthy, r)
	}
	known := p.all(t, healthy, warmUp, 0) // connections, and lanes that have widened
	p.analyze(t)
	alone = p.tell(t, healthy, known)
	for i := range 5 {
		p.own.subscribe(t, newReceiver(t, fmt.Sprintf("hanging-%d", i+1), hangs), `"contact.*"`)
		p.own.subscribe(t, newReceiver(t, fmt.Sprintf("failing-%d", i+1), answersWith(http.StatusInternalServerError)), `"contact.*"`)
	}
	beside = p.tell(t, healthy, known+*hooksFlag)
	for _, r := range healthy {
		if err := r.lacks(nil); err != nil {
			t.Error(err)
		}
	}
	return alone, beside
}

// tell makes the events of a measurement happen, and gives how long it took until all receivers had all of them.
func (p *partnership) tell(t *testing.T, receivers []*receiver, known int) time.Duration {
	t.Helper()
	began := time.Now()
	p.all(t, receivers, *hooksFlag, known)
	var last time.Time
	for _, r := range receivers {
		if _, at := r.has(); at.After(last) {
			last = at
		}
	}
	return last.Sub(began)
}

// all makes n events happen, and waits until receivers that knew of some have all of them; it gives how many that are.
func (p *partnership) all(t *testing.T, receivers []*receiver, n, known int) int {
	t.Helper()
	_, err := p.happen(t.Context(), n)
	must(t, "make events", err)
	ctx := within(t, 4*time.Minute)
	for _, r := range receivers {
		must(t, "wait for the receivers", r.gets(ctx, known+n))
	}
	return known + n
}
