package admin

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// A jobsPage is a part of the list of jobs, with what it was narrowed by.
type jobsPage struct {
	List          operator.JobList
	Tabs          []jobTab
	AsOf          time.Time
	Chips         []chip
	Ranges        []chip
	Query         url.Values
	Narrow        bool
	Pager         pager
	Kinds         []string
	Queues        []string
	Organizations []operator.OrganizationRef
	Views         []keptView
	Here          template.URL // the query of this list, without its cursor
	Bulk          bool         // something can be done to all that match
	Hint          string       // why not
	Routine       bool
}

// A keptView is a question that was given a name, with the way to its answer.
type keptView struct {
	operator.View
	Path string
}

func keptViews(list []operator.View) []keptView {
	kept := make([]keptView, len(list))
	for i, v := range list {
		query, _ := url.ParseQuery(v.Query) // what of it can be read
		kept[i] = keptView{v, "/admin/jobs?" + query.Encode()}
	}
	return kept
}

// A jobTab is a state with the number of its jobs.
type jobTab struct {
	Name, Path string
	Count      *operator.JobCount
	Current    bool
}

// A chip is a filter that is set, with the way to the list without it; or a quick choice.
type chip struct{ Name, Value, Path string }

var (
	jobFilters = []string{"id", "status", "kind", "queue", "priority", "organization_id", "created_after", "created_before", "finished_after",
		"finished_before", "error", "text", "fingerprint", "request_id", "event_id", "sort", "routine", "order"}
	jobTimes = []string{"created_after", "created_before", "finished_after", "finished_before"}
	jobTabs  = []string{"", "queued", "waiting", "scheduled", "running", "succeeded", "failed", "cancelled"}
)

// jobQuery is what the page asks the API for: its filters, with times as the API reads them.
func (r *request) jobQuery() url.Values {
	query := r.filters(jobFilters...)
	for _, name := range jobTimes {
		if at := query.Get(name); at != "" {
			query.Set(name, timeField(at))
		}
	}
	if kinds := query["kind"]; len(kinds) > 0 {
		query.Set("kind", strings.ReplaceAll(strings.Join(kinds, ","), " ", ""))
	}
	if r.choices.Routine && query.Get("routine") == "" {
		query.Set("routine", "show")
	}
	return query
}

// jobs lists the jobs of all organizations.
func (p *Pages) jobs(r *request) error {
	query := r.jobQuery()
	if r.URL.Query().Get("look") != "thorough" {
		query.Set("look", "quick")
	}
	data := jobsPage{Query: r.URL.Query(), Routine: query.Get("routine") == "show"}
	if err := r.client.Get(r.Context(), "/api/admin/jobs", query, &data.List); err != nil {
		return err
	}
	var counts operator.JobCounts
	// A list without numbers beside it is still a list.
	if err := r.client.Get(r.Context(), "/api/admin/jobs/counts", nil, &counts); err != nil && !operator.IsCode(err, "too_slow") {
		return err
	}
	var organizations operator.OrganizationList
	if err := r.client.Get(r.Context(), "/api/admin/organizations", url.Values{"limit": {"200"}}, &organizations); err != nil {
		return err
	}
	var views operator.ViewList
	if err := r.client.Get(r.Context(), "/api/admin/views", nil, &views); err != nil {
		return err
	}
	data.AsOf, data.Tabs, data.Organizations, data.Views = counts.AsOf, r.jobTabs(counts), organizations.Data, keptViews(views.Data)
	data.Kinds, data.Queues = r.jobNames(counts)
	data.Chips, data.Ranges, data.Pager = r.jobChips(organizations.Data), r.jobRanges(time.Now()), r.pager(data.List.NextCursor)
	if data.List.SearchedUntil != nil && data.Pager.Next != "" {
		data.Pager.Next += "&look=thorough" // as somebody is in earnest
	}
	data.Narrow = len(data.Chips) > 0
	query.Del("cursor")
	query.Del("limit")
	query.Del("look")
	data.Here = template.URL(query.Encode()) // escaped already
	data.Bulk, data.Hint = bulkOffered(query)
	return r.render(http.StatusOK, "jobs", "Jobs", data)
}

// organizationNames are names by id, as far as one page of them goes. Where one is missing, the id is shown.
func (r *request) organizationNames() map[string]string {
	var list operator.OrganizationList
	_ = r.client.Get(r.Context(), "/api/admin/organizations", url.Values{"limit": {"200"}}, &list)
	names := make(map[string]string, len(list.Data))
	for _, o := range list.Data {
		names[o.ID] = o.Name
	}
	return names
}

// bulkOffered reports whether something can be done to all that a list shows, and otherwise what to do for that.
func bulkOffered(query url.Values) (offered bool, hint string) {
	switch {
	case query.Get("id") != "":
		return false, "" // one job has its own buttons
	case query.Get("status") == "" && query.Get("fingerprint") == "":
		return false, "To act on all that match, choose a state first."
	}
	return true, ""
}

func (r *request) jobTabs(counts operator.JobCounts) (tabs []jobTab) {
	q := r.URL.Query()
	q.Del("cursor")
	for _, name := range jobTabs {
		tab := jobTab{Name: name, Path: r.with(q, "status", name), Current: q.Get("status") == name}
		for i := range counts.Statuses {
			if counts.Statuses[i].Status == name {
				tab.Count = &counts.Statuses[i]
			}
		}
		if name == "" {
			tab.Name = "all"
		}
		tabs = append(tabs, tab)
	}
	return tabs
}

// jobNames are the kinds and queues that the filters offer: those that may be submitted, and those of unfinished jobs.
func (r *request) jobNames(counts operator.JobCounts) (kinds, queues []string) {
	var list operator.JobKindList
	// The filters take any name; what they offer is a help.
	_ = r.client.Get(r.Context(), "/api/admin/jobs/kinds", nil, &list)
	for _, k := range list.Data {
		kinds, queues = append(kinds, k.Name), append(queues, k.Queue)
	}
	for _, k := range counts.Kinds {
		kinds, queues = append(kinds, k.Kind), append(queues, k.Queue)
	}
	slices.Sort(kinds)
	slices.Sort(queues)
	return slices.Compact(kinds), slices.Compact(queues)
}

// jobChips are the filters that are set, but for the state, which is a tab.
func (r *request) jobChips(organizations []operator.OrganizationRef) (chips []chip) {
	q := r.URL.Query()
	q.Del("cursor")
	for _, name := range jobFilters {
		value := q.Get(name)
		if value == "" || name == "status" {
			continue
		}
		shown := value
		for _, o := range organizations {
			if name == "organization_id" && o.ID == value {
				shown = o.Name
			}
		}
		chips = append(chips, chip{Name: strings.ReplaceAll(name, "_", " "), Value: shown, Path: r.with(q, name, "")})
	}
	return chips
}

// jobRanges are quick choices of the time when jobs were made.
func (r *request) jobRanges(now time.Time) (ranges []chip) {
	q := r.URL.Query()
	q.Del("cursor")
	q.Del("created_before")
	for _, c := range []struct {
		name string
		back time.Duration
	}{{"15 min", 15 * time.Minute}, {"1 h", time.Hour}, {"24 h", 24 * time.Hour}, {"7 d", 7 * 24 * time.Hour}} {
		ranges = append(ranges, chip{Name: c.name, Path: r.with(q, "created_after", now.Add(-c.back).UTC().Format("2006-01-02T15:04"))})
	}
	return ranges
}

// jobActs are the acts on jobs that forms ask for: method, end of the path, and what is said when it is done.
var jobActs = map[string]struct{ method, path, done string }{
	"retry":  {http.MethodPost, "/retry", "retried"},
	"cancel": {http.MethodPost, "/cancel", "cancelled"},
	"delete": {http.MethodDelete, "", "deleted"},
}

// actOnJobs does one thing to the jobs that were selected, and says how often it could not.
func (p *Pages) actOnJobs(r *request) error {
	a, ok := jobActs[r.PostFormValue("action")]
	if !ok {
		return r.refuse(http.StatusUnprocessableEntity, "There is no such act", "Retry, cancel or delete.")
	}
	ids := r.PostForm["id"]
	if len(ids) == 0 {
		return r.back("/admin/jobs", "!Select jobs first.")
	}
	done := 0
	var refused []string
	for _, id := range ids[:min(len(ids), 200)] {
		err := r.client.Do(r.Context(), a.method, "/api/admin/jobs/"+pathEscape(id)+a.path, nil, nil)
		var problem *operator.Problem
		switch {
		case err == nil:
			done++
		case errors.As(err, &problem) && problem.Status == http.StatusForbidden:
			return err
		case errors.As(err, &problem):
			refused = append(refused, problem.Detail)
		default:
			return err
		}
	}
	text := fmt.Sprintf("%d of %d jobs %s.", done, len(ids), a.done)
	if len(refused) > 0 {
		text = "!" + text + " The others are as they were: " + refused[0] + "."
	}
	return r.back("/admin/jobs", text)
}

// keepView gives the question of a list a name.
func (p *Pages) keepView(r *request) error {
	in := map[string]string{"page": "jobs", "name": r.PostFormValue("name"), "query": r.PostFormValue("query")}
	err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/views", in, nil)
	var problem *operator.Problem
	if errors.As(err, &problem) && problem.Status < 500 && problem.Status != http.StatusForbidden {
		return r.back("/admin/jobs", "!"+problem.Detail)
	}
	if err != nil {
		return err
	}
	return r.back("/admin/jobs", "The view is kept, for all operators.")
}

// deleteView forgets a view.
func (p *Pages) deleteView(r *request) error {
	if err := r.client.Do(r.Context(), http.MethodDelete, "/api/admin/views/"+r.id(), nil, nil); err != nil {
		return err
	}
	return r.back("/admin/jobs", "The view is gone.")
}

// exportJobs hands the list through as a file.
func (p *Pages) exportJobs(r *request) error {
	return r.stream("/api/admin/jobs/export?" + r.URL.RawQuery)
}
