package api

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hold lets submits queue up as if all senders were busy, until release.
func (g *gatherer) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.senders += gatherSenders
	return func() {
		for range gatherSenders {
			g.handOver()
		}
	}
}

func (g *gatherer) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Submits that share a transaction stay apart: each in its organization, and what can't be stored fails alone.
func TestGatheredSubmits(t *testing.T) {
	t.Parallel()
	unstorable := strings.Repeat("k", 200) // longer than the column allows
	g := newRig(t, func(c *Config) {
		c.Kinds = append(c.Kinds, Kind{Name: unstorable, Queue: "ai", Scope: "jobs", MaxAttempts: 1})
	})
	orgs, keys := make([]string, 3), make([]string, 3)
	for i := range orgs {
		orgs[i], keys[i] = g.organization(t)
	}
	release := g.gather.hold()
	const submits = 30
	replies := make([]*reply, submits)
	var wg sync.WaitGroup
	for i := range submits {
		body := `{"kind":"ai.completion","input":{"prompt":"` + strconv.Itoa(i) + `"}}`
		if i == 13 {
			body = `{"kind":"` + unstorable + `","input":{}}`
		}
		wg.Go(func() { replies[i] = g.call(t, keys[i%3], "POST", "/api/jobs", body) })
	}
	eventually(t, func() bool { return g.gather.queued() == submits })
	release()
	wg.Wait()
	for i, r := range replies {
		if i == 13 {
			r.problem(500, "internal")
			continue
		}
		v := r.want(202).job()
		j, err := g.system.Job(t.Context(), orgs[i%3], v.ID)
		if err != nil || !strings.Contains(string(j.Input), `"`+strconv.Itoa(i)+`"`) {
			t.Errorf("submit %d: %v, input %s", i, err, j.Input)
		}
		if n := g.count(t, `SELECT count(*) FROM outbox WHERE subject = '`+v.ID+`' AND organization_id = '`+orgs[i%3]+`'`); n != 1 {
			t.Errorf("submit %d has %d events", i, n)
		}
	}
	if g.gather.senders != 0 || g.gather.queued() != 0 {
		t.Errorf("%d senders and %d waiting are left", g.gather.senders, g.gather.queued())
	}
}

func TestGatheredSubmitsShareATransaction(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, one := g.organization(t)
	_, two := g.organization(t)
	release := g.gather.hold()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { g.submit(t, []string{one, two}[i%2], aCompletion) })
	}
	eventually(t, func() bool { return g.gather.queued() == 20 })
	release()
	wg.Wait()
	if n := g.count(t, `SELECT count(DISTINCT xid) FROM outbox`); n > gatherSenders {
		t.Errorf("20 submits took %d transactions", n)
	}
}
