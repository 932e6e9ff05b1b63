package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/payaid/payaid/operator"
)

// An auditPage is a part of the audit log, and what it was narrowed by.
type auditPage struct {
	Entries []auditLine
	Pager   pager
	Query   url.Values
	Narrow  bool // something is filtered
	Actions []string
}

// An auditLine is an entry with what it changed.
type auditLine struct {
	operator.AuditEntry
	Changes []difference
}

// auditActions are offered in the filter; any other can be written into the address.
var auditActions = []string{
	"session.begin", "session.end", "job.retry", "job.cancel", "job.delete", "job.reveal", "bulk.retry", "bulk.cancel", "bulk.delete", "bulk.stop", "bulk.end", "queue.pause", "queue.resume",
	"mail.reveal", "mail.settle", "suppression.add", "suppression.remove", "sink.reveal", "backup.make", "backup.verify",
	"index.sample", "model.pull", "admin.presume",
}

// audit shows what operators did, newest first.
func (p *Pages) audit(r *request) error {
	names := []string{"key_id", "action", "target", "target_id", "outcome"}
	query := r.filters(names...)
	narrow := false
	for _, name := range append(names, "after", "before") {
		narrow = narrow || r.URL.Query().Get(name) != ""
	}
	for _, name := range []string{"after", "before"} {
		if at := timeField(r.URL.Query().Get(name)); at != "" {
			query.Set(name, at)
		}
	}
	var list operator.AuditList
	if err := r.client.Get(r.Context(), "/api/admin/audit", query, &list); err != nil {
		return err
	}
	data := auditPage{Pager: r.pager(list.NextCursor), Query: r.URL.Query(), Narrow: narrow, Actions: auditActions}
	for _, e := range list.Data {
		data.Entries = append(data.Entries, auditLine{e, differences(e.Before, e.After)})
	}
	return r.render(http.StatusOK, "audit", "Audit log", data)
}

// timeField reads what a field of type datetime-local gives, which is UTC here, or RFC 3339. Anything else goes on as
// it is, for the API to refuse.
func timeField(given string) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, given); err == nil {
			return t.UTC().Format(time.RFC3339)
		}
	}
	return given
}
