package api

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/payaid/payaid/operator"
)

// Nothing that a client calls a thing, and nothing in its body, keeps an attempt out of the audit log.
func TestRefusedAttemptsOfAnyShapeAreNoted(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, watcher := g.readOnlyKey(t)
	const some = "01900000-0000-7000-8000-000000000001"
	letters := []byte("abcdefghijklmnopqrstuvwxyz0123456789")
	long := make([]byte, 10_000) // of no use to compress
	for i := range long {
		long[i] = letters[rand.IntN(len(letters))]
	}
	for _, try := range []struct {
		key, method, path, body string
		status                  int
		action                  string
	}{
		{watcher, "POST", "/api/admin/jobs/" + string(long) + "/retry", "", 403, "admin.presume"},
		{watcher, "GET", "/api/admin/jobs/" + some + "/events", "", 403, "admin.presume"},
		{testAdminKey, "DELETE", "/api/admin/jobs/a%00b", "", 404, "job.delete"},
		{testAdminKey, "POST", "/api/admin/queues/%ff/pause", "", 422, "queue.pause"},
		{testAdminKey, "DELETE", "/api/admin/sessions/" + string(long), "", 404, "admin.attempt"},
		{testAdminKey, "POST", "/api/admin/webhooks/nobody/" + some + "/enable", "", 404, ""},
		{testAdminKey, "PATCH", "/api/admin/jobs/" + some, `{"priority":"loud"}`, 422, "admin.attempt"},
		{testAdminKey, "POST", "/api/admin/jobs", `{"organization_id":`, 400, "admin.attempt"},
	} {
		before := g.audit(t, "?limit=200")
		g.call(t, try.key, try.method, try.path, try.body).want(try.status)
		added := g.audit(t, "?limit=200")
		added = added[:len(added)-len(before)]
		if len(added) != 1 || added[0].Outcome != "refused" || try.action != "" && added[0].Action != try.action || added[0].Detail == nil {
			t.Errorf("%s %.60s: the audit log has %+v", try.method, try.path, added)
		}
	}
	// What is only looked at, and what a client of an organization tries, is not.
	_, client := g.organization(t)
	before := len(g.audit(t, "?limit=200"))
	g.call(t, client, "DELETE", "/api/admin/jobs/"+some, "").want(403)
	g.call(t, testAdminKey, "GET", "/api/admin/jobs/"+some, "").want(404)
	after := g.audit(t, "?limit=200")
	if len(after) != before || slices.ContainsFunc(after, func(e operator.AuditEntry) bool { return len(e.TargetID) > 300 }) {
		t.Errorf("the audit log has %d entries, want %d", len(after), before)
	}
}
