package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// noted puts an entry into the audit log, as if somebody had done it.
func (g *rig) noted(e store.AuditEntry) {
	g.t.Helper()
	if e.Role == "" {
		e.Role = store.RoleAdmin
	}
	err := g.system.Tx(g.t.Context(), func(tx pgx.Tx) error { return store.Audit(g.t.Context(), tx, "", e) })
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestAuditShowsWhoDidWhat(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.noted(store.AuditEntry{KeyID: "admin", Action: "queue.pause", Target: "queue", TargetID: "mail", Outcome: store.AuditDone,
		Before: []byte(`{"paused":false,"depth":12}`), After: []byte(`{"paused":true,"depth":12}`)})
	b := g.readOnly()
	page := b.get("/admin/audit").wants(http.StatusOK, "queue.pause", "mail", "paused false true", "session.begin", "made by a test")
	if strings.Contains(page.text(), "depth") {
		t.Error("what did not change is shown as changed")
	}
	b.get("/admin/audit?action=queue.pause").wants(http.StatusOK, "queue.pause").lacks("· page")
	b.get("/admin/audit?action=queue.resume").wants(http.StatusOK, "No entry matches")
	b.get("/admin/audit?after=2001-01-01T10:00&before=2001-01-02T10:00").wants(http.StatusOK, "No entry matches")
	b.get("/admin/audit?after=yesterday").wants(http.StatusUnprocessableEntity, "/query/after")
}

func TestAuditIsReadInPages(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for range 60 {
		g.noted(store.AuditEntry{KeyID: "admin", Action: "job.retry", Target: "job", TargetID: "0197", Outcome: store.AuditDone})
	}
	b := g.admin()
	rows := func(p *shown) int { return strings.Count(p.text(), "job.retry") - 1 } // one stands in the filter
	first := b.get("/admin/audit?action=job.retry").wants(http.StatusOK)
	next := first.link("Older")
	if got := rows(first); got != 50 || next == "" {
		t.Fatalf("the first page has %d entries and leads to %q", got, next)
	}
	second := b.get(next).wants(http.StatusOK)
	if got := rows(second); got != 10 {
		t.Errorf("the second page has %d entries", got)
	}
	if got := second.link("Newest"); got != "/admin/audit?action=job.retry" {
		t.Errorf("the second page leads back to %q", got)
	}
}

func TestHostileAuditIsInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	text := hostile
	quoted := strings.NewReplacer(`"`, `\"`).Replace(hostile)
	g.noted(store.AuditEntry{KeyID: hostile, Action: "job.retry", Target: hostile, TargetID: hostile, Outcome: store.AuditRefused,
		Detail: &text, RequestID: &text, Address: &text, Before: []byte(`{"` + quoted + `":"` + quoted + `"}`), After: []byte(`["` + quoted + `"]`)})
	g.admin().get("/admin/audit").wants(http.StatusOK).inert()
}
