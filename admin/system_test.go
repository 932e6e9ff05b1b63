package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/minutes"
)

// hostileFigures have hostile names in all that processes and checks say of themselves.
func hostileFigures(c *api.Config) {
	busy := 12.5
	gauges, err := json.Marshal(api.ProcessGauges{Version: hostile, Pools: []api.PoolGauge{{Pool: hostile, Size: 1, Most: 2}},
		Machine: machine.Figures{CPU: &machine.CPU{Source: hostile, Cores: 2, Percent: &busy}, Unmeasured: map[string]string{"memory": hostile},
			Disks: []machine.Disk{{Name: hostile, Path: hostile, Reason: hostile}}}})
	if err != nil {
		panic(err)
	}
	c.Figures = api.Figures{
		Hour: func(context.Context) minutes.Hour {
			now := time.Now()
			return minutes.Hour{Scope: minutes.Everybody, From: now.Add(-time.Hour), Until: now,
				Processes: []minutes.Process{{ID: hostile, Role: "worker", Host: hostile, At: now, StartedAt: now, Gauges: gauges}}}
		},
		Stream: func(context.Context) (api.StreamEnds, error) { return api.StreamEnds{}, errors.New(hostile) },
	}
	c.Checks = append(c.Checks, api.Check{Name: "redis", Probe: func(context.Context) (string, error) { return "", errors.New(hostile) }},
		api.Check{Name: "nats", Probe: func(context.Context) (string, error) { return hostile, nil }})
}

func TestHostileFiguresAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t, hostileFigures)
	b := g.readOnly()
	b.get("/admin/system").wants(http.StatusOK, "PostgreSQL", "12.5 %", "not run long enough", "NATS can't be asked", "away").inert()
	found := false
	for _, a := range b.get("/admin/queues").find("a") {
		found = found || attribute(a, "href") == "/admin/system"
	}
	if !found {
		t.Error("the navigation doesn't lead there")
	}
}

// Where nobody counts, each figure says why it is not there.
func TestSystemSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.readOnly().get("/admin/system").wants(http.StatusOK, "nobody counts in this process", "this process has no connection to the event stream",
		"the server doesn't count statements", "no process has said how much memory it has", "no Redis is configured", "all facts are routed",
		"No process has told how it does").lacks("doesn't say why")
	g.browser().get("/admin/system").wants(http.StatusOK, "Sign in").lacks("PostgreSQL")
}
