//go:build deploytest

package deploytest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotated are the secrets of a stack without profiles and without keys of other people's services.
var rotated = []string{"admin_key", "smtp_pass", "postgres_owner", "postgres_backup", "postgres_service", "redis", "nats"}

// brokenOff are those without which no process works: their rotation ends when some have the new one and some the old, and is
// run once more.
var brokenOff = map[string]bool{"postgres_service": true, "redis": true, "nats": true}

// breakOff begins a rotation whose third service doesn't become healthy.
func (d *deployed) breakOff(t *testing.T, name string) {
	t.Helper()
	roll, whole := filepath.Join(d.dir, "roll.sh"), filepath.Join(d.dir, "whole.sh")
	err := os.Rename(roll, whole)
	if err == nil {
		err = os.WriteFile(roll, []byte("#!/bin/sh\n./whole.sh relay worker-cache\nexit 1\n"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, broke := d.run(within(t, 5*time.Minute), "./rotate.sh", name)
	if err := os.Rename(whole, roll); err != nil {
		t.Fatal(err)
	}
	if broke == nil || !strings.Contains(out, "relay: the old ones end") {
		t.Errorf("rotate %s, to be broken off: %v\n%s", name, broke, out)
	}
}

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
		if brokenOff[name] {
			d.breakOff(t, name)
		}
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
	// It was told of its users by a signal, and is started again when it dies all the same.
	ctx = within(t, 2*time.Minute)
	died, err := d.kill(ctx, "nats")
	if err == nil {
		err = d.back(ctx, died)
	}
	if err == nil {
		err = d.allHealthy(ctx)
	}
	if err != nil {
		t.Errorf("nats dies after its password was changed: %v", err)
	}
	d.report.add("rotate.sh", "%d secrets under %d requests, of which %d failed", len(rotated), h.asked+len(l.accepted), len(h.failed)+l.failed)
	d.accounts(t, l)
}
