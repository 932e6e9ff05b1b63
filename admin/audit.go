package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
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

// An auditLine is an entry with what it changed, and the page of what it was done to, "" where it has none.
type auditLine struct {
	operator.AuditEntry
	Changes []difference
	Link    string
	Traced  bool // its request may have left something to be found
}

// auditPages are the pages of what things are done to, by its sort; the id follows. An event's own is gone after a week,
// and the chain says so.
var auditPages = map[string]string{"job": "/admin/jobs/", "bulk": "/admin/bulk/", "queue": "/admin/queues/", "mail": "/admin/mail/",
	"sink_mail": "/admin/mail/sink/", "event": "/admin/chain/", "delivery": "/admin/webhooks/deliveries/"}

// auditLink is the page of what an entry is about.
func auditLink(e operator.AuditEntry) string {
	below, has := auditPages[e.Target]
	switch {
	case e.TargetID == "" || strings.HasPrefix(plain(e.Detail), "not_found"):
		return ""
	case e.Action == "job.delete" && e.Outcome == "done":
		return ""
	case e.Target == "queue" && e.TargetID == "*":
		return "/admin/queues"
	case e.Target == "dead_event":
		return "/admin/events/dead?all=true"
	case e.Target == "webhook" && e.OrganizationID != nil:
		return "/admin/webhooks/" + pathEscape(*e.OrganizationID) + "/" + pathEscape(e.TargetID)
	case has:
		return below + pathEscape(e.TargetID)
	}
	return ""
}

// leftTraces reports whether the request of an entry may have stated a fact: none did that was refused, or only looked.
func leftTraces(e operator.AuditEntry) bool {
	area, verb, _ := strings.Cut(e.Action, ".")
	return e.Outcome == "done" && !slices.Contains([]string{"session", "view"}, area) && !slices.Contains([]string{"reveal", "follow"}, verb)
}

// auditActions are all that is noted, for the filter.
var auditActions = []string{
	"session.begin", "session.end",
	"job.retry", "job.cancel", "job.delete", "job.change", "job.new", "job.again", "job.reveal", "job.follow",
	"bulk.retry", "bulk.cancel", "bulk.delete", "bulk.stop", "bulk.end",
	"queue.pause", "queue.resume", "schedule.run", "schedule.pause", "schedule.resume",
	"event.reveal", "event.redrive_begin", "event.redrive", "event.replay_begin", "event.replay",
	"webhook.enable", "webhook.disable", "webhook.replay", "delivery.reveal", "delivery.replay",
	"mail.reveal", "mail.settle", "suppression.add", "suppression.remove", "sink.reveal",
	"backup.make", "backup.verify", "index.sample", "model.pull", "view.keep", "view.delete",
	"admin.presume", "admin.attempt",
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
	if chosen := data.Query.Get("action"); chosen != "" && !slices.Contains(auditActions, chosen) {
		data.Actions = append([]string{chosen}, auditActions...) // or else the form would drop it
	}
	for _, e := range list.Data {
		data.Entries = append(data.Entries, auditLine{e, differences(e.Before, e.After), auditLink(e), leftTraces(e)})
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
