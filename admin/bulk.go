package admin

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// A tally is how many there are of something.
type tally struct {
	Name string
	N    int
}

// tallies are counts, the most frequent first.
func tallies(counts map[string]int) []tally {
	list := make([]tally, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, tally{name, counts[name]})
	}
	slices.SortStableFunc(list, func(a, b tally) int { return cmp.Compare(b.N, a.N) })
	return list
}

// bulkReasons say why a job was left as it is.
var bulkReasons = map[string]string{
	"gone":      "there is no such job any more",
	"retried":   "somebody has tried it again since",
	"changed":   "it ended, or ended otherwise, or began again since",
	"running":   "it is being worked",
	"ended":     "it has ended, so there is nothing to cancel",
	"not_ended": "it has not ended, so it can't be deleted; cancel it first",
	"succeeded": "it succeeded, so there is nothing to try again",
	"due":       "it runs anyway, as soon as it can",
	"internal":  "it went wrong; the log says more",
}

func bulkReason(code string) string { return cmp.Or(bulkReasons[code], code) }

var bulkVerbs = map[string]string{"retry": "Retry", "cancel": "Cancel", "delete": "Delete"}

// A bulkPreviewPage asks whether something is to be done.
type bulkPreviewPage struct {
	operator.BulkPreview
	Verb     string
	Fields   []operator.Fault // names and values of the filter, to be sent again
	Statuses []tally
	Kinds    []tally
	Skips    []tally
	List     string // the jobs that match
	Back     string
	Name     string // of the newest job's organization, which is the one that it may be narrowed to
}

// bulk shows what something would do to all jobs that match; with the number that was expected it has it done.
func (p *Pages) bulk(r *request) error {
	filter, fields, err := bulkFilterOf(r)
	if stranger := (strangeField("")); errors.As(err, &stranger) {
		return r.refuse(http.StatusUnprocessableEntity, "Many jobs can't be chosen by "+string(stranger), "Go back to the list, and take that filter out.")
	}
	if err != nil {
		return r.refuse(http.StatusUnprocessableEntity, "A time can't be read", "Give it as 2026-04-01T10:00, in UTC.")
	}
	action := r.FormValue("action")
	if expected := r.PostFormValue("expected"); expected != "" {
		n, err := strconv.Atoi(expected)
		if err != nil {
			return r.refuse(http.StatusUnprocessableEntity, "The number can't be read", "Go back to the preview and confirm it there.")
		}
		var b operator.BulkAction
		order := operator.BulkOrder{Action: action, Filter: filter, Expected: n, Token: r.PostFormValue("token")}
		err = r.client.Do(r.Context(), http.MethodPost, "/api/admin/bulk", order, &b)
		var refused *operator.Problem
		if errors.As(err, &refused) && refused.Code == "bulk_confirmed" {
			first, _, _ := strings.Cut(order.Token, ".") // a token begins with the id of what was confirmed by it
			return r.redirect("/admin/bulk/"+pathEscape(first), "!This was confirmed before. Nothing was begun a second time; here is what the first click began.")
		}
		if err != nil {
			return err
		}
		return r.redirect("/admin/bulk/"+b.ID, "")
	}
	query := url.Values{}
	for _, f := range fields {
		query.Add(f.Pointer, f.Detail)
	}
	list := "/admin/jobs?" + query.Encode()
	data := bulkPreviewPage{Fields: fields, List: list, Back: localPath(cmp.Or(r.FormValue("back"), list))}
	query.Set("action", action)
	query.Set("back", data.Back)
	r.own = "/admin/bulk?" + query.Encode()
	question := operator.BulkQuestion{Action: action, Filter: filter}
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/bulk/preview", question, &data.BulkPreview); err != nil {
		return err
	}
	data.Verb = bulkVerbs[action]
	if len(data.Sample) > 0 {
		data.Name = plain(data.Sample[0].OrganizationName)
	}
	data.Statuses, data.Kinds, data.Skips = tallies(data.ByStatus), tallies(data.ByKind), tallies(data.Skipped)
	return r.renderAt(http.StatusOK, "bulk_preview", []crumb{{Title: "Bulk actions", Path: "/admin/bulk"}, {Title: data.Verb + " many jobs"}}, data)
}

// A strangeField is a filter that bulk actions don't have. Leaving it out would act on more jobs than somebody looked at.
type strangeField string

// Error implements error.
func (f strangeField) Error() string { return "there is no filter " + string(f) }

// bulkFields are what beside filters comes with a form or a link to a preview. In which order a list shows the jobs is
// nothing to them.
var bulkFields = []string{"action", "expected", "token", "back", "order", "look", "cursor", "limit"}

// bulkFilterOf reads the filter as the list of jobs has it in its address, from there or from a form. The fields are its
// names and values as they came.
func bulkFilterOf(r *request) (f operator.BulkFilter, fields []operator.Fault, err error) {
	if err := r.ParseForm(); err != nil {
		return f, nil, err
	}
	texts := map[string]*string{"status": &f.Status, "queue": &f.Queue, "priority": &f.Priority, "organization_id": &f.OrganizationID, "error": &f.Error,
		"text": &f.Text, "request_id": &f.RequestID, "event_id": &f.EventID, "fingerprint": &f.Fingerprint, "sort": &f.Sort, "routine": &f.Routine}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if *texts[name] = strings.TrimSpace(r.Form.Get(name)); *texts[name] != "" {
			fields = append(fields, operator.Fault{Pointer: name, Detail: *texts[name]})
		}
	}
	for _, given := range r.Form["kind"] {
		for kind := range strings.SplitSeq(given, ",") {
			if kind = strings.TrimSpace(kind); kind != "" {
				f.Kinds = append(f.Kinds, kind)
				fields = append(fields, operator.Fault{Pointer: "kind", Detail: kind})
			}
		}
	}
	times := map[string]**time.Time{"created_after": &f.CreatedAfter, "created_before": &f.CreatedBefore, "finished_after": &f.FinishedAfter,
		"finished_before": &f.FinishedBefore}
	for name, values := range r.Form {
		known := name == "kind" || texts[name] != nil || times[name] != nil || slices.Contains(bulkFields, name)
		if !known && strings.Join(values, "") != "" {
			return f, nil, strangeField(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(times)) {
		if *times[name], err = fieldTime(r.Form.Get(name)); err != nil {
			return f, nil, err
		}
		if at := *times[name]; at != nil {
			fields = append(fields, operator.Fault{Pointer: name, Detail: at.Format(time.RFC3339Nano)})
		}
	}
	return f, fields, nil
}

// A bulkListPage is a part of the list of bulk actions.
type bulkListPage struct {
	Actions []bulkLine
	Pager   pager
}

// A bulkLine is a bulk action with its filter in words.
type bulkLine struct {
	operator.BulkAction
	Verb, About string
}

func bulkLineOf(b operator.BulkAction) bulkLine {
	return bulkLine{b, bulkVerbs[b.Action], aboutFilter(b.Filter)}
}

// aboutFilter says which jobs a filter lets through.
func aboutFilter(f operator.BulkFilter) string {
	var parts []string
	say := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	say("status", f.Status)
	say("kind", strings.Join(f.Kinds, ", "))
	say("queue", f.Queue)
	say("priority", f.Priority)
	say("organization", f.OrganizationID)
	say("error", f.Error)
	say("text", f.Text)
	say("request", f.RequestID)
	say("event", f.EventID)
	say("failures", f.Fingerprint)
	say("sort", f.Sort)
	for name, at := range map[string]*time.Time{"created after": f.CreatedAfter, "created before": f.CreatedBefore, "ended after": f.FinishedAfter, "ended before": f.FinishedBefore} {
		if at != nil {
			say(name, at.UTC().Format("2006-01-02 15:04:05"))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " · ")
}

// bulkActions lists what was done with many jobs. With an action it is the preview, to which the list of jobs leads with
// its filter.
func (p *Pages) bulkActions(r *request) error {
	if r.FormValue("action") != "" {
		return p.bulk(r)
	}
	var list operator.BulkList
	if err := r.client.Get(r.Context(), "/api/admin/bulk", r.filters(), &list); err != nil {
		return err
	}
	data := bulkListPage{Pager: r.pager(list.NextCursor)}
	for _, b := range list.Data {
		data.Actions = append(data.Actions, bulkLineOf(b))
	}
	return r.render(http.StatusOK, "bulk_list", "Bulk actions", data)
}

// A bulkPage is how far a bulk action has come.
type bulkPage struct {
	bulkLine
	Seen     int // jobs that were seen to
	Why      []tally
	Failures []operator.BulkOutcome
	Skips    []operator.BulkOutcome
}

// bulkAction shows how far a bulk action has come, and its report.
func (p *Pages) bulkAction(r *request) error {
	var report operator.BulkReport
	if err := r.client.Get(r.Context(), "/api/admin/bulk/"+pathEscape(r.PathValue("id")), nil, &report); err != nil {
		return err
	}
	data := bulkPage{bulkLine: bulkLineOf(report.BulkAction), Seen: report.Total - report.Left, Why: tallies(report.Reasons),
		Failures: report.Failures, Skips: report.Skips}
	return r.renderAt(http.StatusOK, "bulk", []crumb{{Title: "Bulk actions", Path: "/admin/bulk"}, {Title: data.Verb + " " + strconv.Itoa(data.Total) + " jobs"}}, data)
}

// stopBulk ends a bulk action behind the jobs that are in hands.
func (p *Pages) stopBulk(r *request) error {
	path := "/admin/bulk/" + pathEscape(r.PathValue("id"))
	if err := r.client.Do(r.Context(), http.MethodPost, "/api"+path+"/stop", nil, nil); err != nil {
		return err
	}
	return r.redirect(path, "It stops behind the jobs that are in hands.")
}
