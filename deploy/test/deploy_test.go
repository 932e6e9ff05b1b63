//go:build deploytest

package deploytest

import (
	"context"
	"testing"
	"time"
)

// TestDeployment takes the stack through its life. Each part stands on the one before it.
func TestDeployment(t *testing.T) {
	d := newDeployed(t)
	defer d.report.print(t)
	d.start(t, "up, from nothing")
	d.receive(t)
	l := newLoad(nil, "load")
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"walls", d.walls},
		{"organization", d.organization},
		{"headers", d.headers},
		{"mail", d.mail},
		{"bounce", d.bounce},
		{"stream", d.stream},
		{"scale", d.scale},
		{"kills", func(t *testing.T) { l.api = d.own; d.kills(t, l) }},
		{"accounts", func(t *testing.T) { d.accounts(t, l) }},
		{"backup", d.backup},
		{"rotation", d.rotate},
		{"upgrade", func(t *testing.T) {
			d.roll(t, "payaid-test/payaid:two", "payaid-test/payaid:two", "payaid-test/payaid-backup:two")
		}},
		{"rollback", func(t *testing.T) { d.roll(t, "payaid:back", "--back") }},
		{"stop", d.stop},
		{"down and up", func(t *testing.T) { d.downAndUp(t, l) }},
	} {
		if !t.Run(part.name, part.run) {
			d.explain(t)
			return
		}
	}
}

// stop is an orderly end: within the graces, and without anything being killed.
func (d *deployed) stop(t *testing.T) {
	d.kept = d.count(t)
	began := time.Now()
	if _, err := d.call(within(t, 4*time.Minute), "stop"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	list, err := d.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	others := ""
	for _, c := range list {
		code := c.State.ExitCode
		switch {
		case c.State.Status != "exited" || code == 137:
			t.Errorf("%s didn't stop by itself: %+v", c.Name, c.State)
		case code != 0 && ours(c):
			t.Errorf("%s ended with %d", c.Name, code)
		case code != 0:
			others += " " + c.service() + " " + itoa(code)
		}
	}
	if others == "" {
		others = " none"
	}
	d.report.add("stop", "all in %s, none killed; ours with status 0, others with another:%s", seconds(took), others)
}

// ours tells PayAid's own processes from the services that they use.
func ours(c container) bool {
	switch c.service() {
	case "api", "relay", "migrate", "worker-ai", "worker-mail", "worker-cache", "worker-webhook", "worker-maintenance":
		return true
	}
	return false
}

// downAndUp removes all containers and networks, and finds everything again.
func (d *deployed) downAndUp(t *testing.T, l *load) {
	if _, err := d.call(within(t, 2*time.Minute), "down"); err != nil {
		t.Fatal(err)
	}
	d.start(t, "down without -v, up again")
	if after := d.count(t); after != d.kept {
		t.Errorf("%d contacts and jobs were there, now %d", d.kept, after)
	}
	d.report.add("data after down and up", "%d contacts and jobs, all there", d.kept)
	if _, err := l.one(within(t, time.Minute), "mail.send"); err != nil {
		t.Error(err)
	}
	d.accounts(t, l)
}

func (d *deployed) count(t *testing.T) (n int) {
	t.Helper()
	err := d.row(within(t, time.Minute), `SELECT (SELECT count(*) FROM contacts) + (SELECT count(*) FROM jobs WHERE organization_id = $1)`,
		[]any{d.mine}, &n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// backup makes one in the container that has pg_dump, and restores it for a try there.
func (d *deployed) backup(t *testing.T) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := d.call(ctx, "exec", "-T", "worker-maintenance", "payaid", "backup", "now", "--verify")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("backup now --verify:\n%s", out)
	list, err := d.call(ctx, "exec", "-T", "worker-maintenance", "payaid", "backup", "list")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("backup list:\n%s", list)
	d.report.add("backup in its container", "made and restored for a try in %s", seconds(time.Since(began)))
}
