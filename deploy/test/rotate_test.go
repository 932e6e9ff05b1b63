//go:build deploytest

package deploytest

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// rotated are the secrets of a stack without profiles and without keys of other people's services.
var rotated = []string{"admin_key", "smtp_pass", "postgres_owner", "postgres_backup", "postgres_service", "redis", "nats"}

// rotate changes every secret by the script of the runbook, under a steady load and under clients that never ask twice.
func (d *deployed) rotate(t *testing.T) {
	l := newLoad(d.own, "rotate")
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() { loaded <- l.run(ctx, 500*time.Millisecond) }()
	hammered := make(chan struct{})
	h := &hammer{api: d.own}
	go func() { h.run(ctx, 100*time.Millisecond); close(hammered) }()
	old := d.admin
	for _, name := range rotated {
		began := time.Now()
		if out, err := d.run(within(t, 5*time.Minute), "./rotate.sh", name); err != nil {
			t.Errorf("rotate %s: %v\n%s", name, err, out)
			break
		}
		t.Logf("rotate.sh %s: %s", name, seconds(time.Since(began)))
	}
	d.admin, d.nats = d.admin.as(d.secret(t, "admin_key")), d.secret(t, "nats_url")
	if err := old.want(ctx, http.StatusUnauthorized, http.MethodGet, "/api/admin/workers", "", nil); err != nil {
		t.Errorf("the old key of the admin: %v", err)
	}
	for _, kind := range []string{"ai", "mail", "cache", "callback", "sample"} {
		if err := d.work(within(t, time.Minute), l, kind); err != nil {
			t.Errorf("%s after all secrets were changed: %v", kind, err)
		}
	}
	cancel()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	<-hammered
	if len(h.failed) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(h.failed), h.asked, h.failed[:min(len(h.failed), 5)])
	}
	if l.failed > 0 {
		t.Errorf("%d submissions had to be sent again", l.failed)
	}
	d.report.add("rotate.sh", "%d secrets under %d requests, of which %d failed", len(rotated), h.asked+len(l.accepted), len(h.failed)+l.failed)
	d.accounts(t, l)
}
