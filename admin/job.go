package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// A jobPage is one job; with its content only where that was asked for.
type jobPage struct {
	operator.JobDetail
	Content *operator.JobContent
	Can     map[string]bool
	Bars    []jobBar
	Live    bool // it may be followed
}

// A jobBar is a stretch of the time between two moments, in hundredths of the whole.
type jobBar struct {
	What     string
	X, Width int
	MS       int64
}

// job shows a job without its content.
func (p *Pages) job(r *request) error { return r.showJob(nil) }

// revealJob shows a job with its content, which is noted.
func (p *Pages) revealJob(r *request) error {
	var c operator.JobContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/jobs/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.showJob(&c)
}

func (r *request) showJob(content *operator.JobContent) error {
	data := jobPage{Content: content, Can: map[string]bool{}}
	if err := r.client.Get(r.Context(), "/api/admin/jobs/"+r.id(), nil, &data.JobDetail); err != nil {
		return err
	}
	for _, name := range []string{"retry", "cancel", "delete", "again", "priority", "run_at"} {
		data.Can[name] = slices.Contains(data.Actions, name)
	}
	data.Bars = barsOf(data.Timeline)
	data.Live = !data.Internal && data.FinishedAt == nil && strings.HasPrefix(data.Kind, "ai.")
	return r.renderAt(http.StatusOK, "job", []crumb{{"Jobs", "/admin/jobs"}, {Title: data.ID}}, data)
}

// barsOf draws the time between moments; what is short is still to be seen.
func barsOf(moments []operator.JobMoment) (bars []jobBar) {
	total := int64(0)
	for _, m := range moments {
		total += m.AfterMS
	}
	if total == 0 {
		return nil
	}
	x := 0
	for i, m := range moments[1:] {
		width := max(int(1000*m.AfterMS/total), 4)
		bars = append(bars, jobBar{What: moments[i].What + " to " + m.What, X: x, Width: width, MS: m.AfterMS})
		x += width
	}
	return bars
}

// actOnJob does one thing to one job.
func (p *Pages) actOnJob(r *request) error {
	name := r.PathValue("act")
	a, ok := jobActs[name]
	if !ok {
		return p.missing(r)
	}
	if err := r.client.Do(r.Context(), a.method, "/api/admin/jobs/"+r.id()+a.path, nil, nil); err != nil {
		return err
	}
	if name == "delete" {
		return r.redirect("/admin/jobs", "The job is deleted.")
	}
	return r.back("/admin/jobs/"+r.id(), "The job is "+a.done+".")
}

// changeJob gives a job another priority, or another time.
func (p *Pages) changeJob(r *request) error {
	in := map[string]any{}
	if priority := r.PostFormValue("priority"); priority != "" {
		in["priority"] = priority
	}
	if r.PostForm.Has("run_at") {
		in["run_at"] = nil
		if at := r.PostFormValue("run_at"); at != "" {
			in["run_at"] = timeField(at)
		}
	}
	if err := r.client.Do(r.Context(), http.MethodPatch, "/api/admin/jobs/"+r.id(), in, nil); err != nil {
		return err
	}
	return r.back("/admin/jobs/"+r.id(), "The job is changed.")
}

// followJob hands the stream of a job through.
func (p *Pages) followJob(r *request) error { return r.stream("/api/admin/jobs/" + r.id() + "/events") }

// A newJobPage is the form of a job to be made.
type newJobPage struct {
	Like          string // the job that it is made after
	Organization  string
	Kind          string
	Input         string
	Priority      string
	RunAt         string
	Kinds         []operator.JobKind
	Organizations []operator.OrganizationRef
	Faults        map[string][]string // by field: organization_id, kind, input, priority, run_at
	Detail        string
}

// newJob shows the form of a new job.
func (p *Pages) newJob(r *request) error {
	q := r.URL.Query()
	data := newJobPage{Organization: q.Get("organization_id"), Kind: q.Get("kind"), Priority: "normal"}
	return r.showNewJob(http.StatusOK, data)
}

// jobAgain shows the form with what a job was asked to do, which shows its content and is noted.
func (p *Pages) jobAgain(r *request) error {
	var d operator.JobDetail
	if err := r.client.Get(r.Context(), "/api/admin/jobs/"+r.id(), nil, &d); err != nil {
		return err
	}
	var c operator.JobContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/jobs/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.showNewJob(http.StatusOK, newJobPage{Like: d.ID, Organization: plain(d.OrganizationID), Kind: d.Kind, Input: indented(c.Input), Priority: d.Priority})
}

func indented(o operator.Object) string {
	return strings.TrimSpace(string(indent(json.RawMessage(o))))
}

func indent(raw json.RawMessage) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if e.Encode(raw) != nil {
		return raw
	}
	return []byte(b.String())
}

func (r *request) showNewJob(status int, data newJobPage) error {
	var kinds operator.JobKindList
	if err := r.client.Get(r.Context(), "/api/admin/jobs/kinds", nil, &kinds); err != nil {
		return err
	}
	var organizations operator.OrganizationList
	if err := r.client.Get(r.Context(), "/api/admin/organizations", map[string][]string{"limit": {"200"}}, &organizations); err != nil {
		return err
	}
	data.Kinds, data.Organizations = kinds.Data, organizations.Data
	for _, k := range kinds.Data {
		if data.Input == "" && k.Name == data.Kind {
			data.Input = indented(k.Example)
		}
	}
	title := "New job"
	if data.Like != "" {
		title = "Run again"
	}
	return r.renderAt(status, "job_new", []crumb{{"Jobs", "/admin/jobs"}, {Title: title}}, data)
}

// makeJob makes the job of the form; what is wrong with it is said at its field.
func (p *Pages) makeJob(r *request) error {
	data := newJobPage{Like: r.PathValue("id"), Organization: r.PostFormValue("organization_id"), Kind: r.PostFormValue("kind"),
		Input: r.PostFormValue("input"), Priority: r.PostFormValue("priority"), RunAt: r.PostFormValue("run_at"), Faults: map[string][]string{}}
	if !json.Valid([]byte(data.Input)) {
		data.Faults["input"] = []string{"is not JSON"}
		return r.showNewJob(http.StatusUnprocessableEntity, data)
	}
	in := map[string]any{"input": json.RawMessage(data.Input), "priority": data.Priority}
	if data.RunAt != "" {
		in["run_at"] = timeField(data.RunAt)
	}
	path := "/api/admin/jobs/" + r.id() + "/again"
	if data.Like == "" {
		path = "/api/admin/jobs"
		in["organization_id"], in["kind"] = data.Organization, data.Kind
	}
	var made operator.JobRef
	err := r.client.Do(r.Context(), http.MethodPost, path, in, &made)
	var problem *operator.Problem
	if errors.As(err, &problem) && (problem.Status == http.StatusUnprocessableEntity || problem.Status == http.StatusBadRequest || problem.Status == http.StatusTooManyRequests) {
		data.Detail = problem.Detail
		for _, f := range problem.Errors {
			field, rest, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
			said := f.Detail
			if rest != "" {
				said = "/" + rest + " " + f.Detail
			}
			data.Faults[field] = append(data.Faults[field], said)
		}
		return r.showNewJob(problem.Status, data)
	}
	if err != nil {
		return err
	}
	return r.redirect("/admin/jobs/"+made.ID, "The job was made at "+time.Now().UTC().Format("15:04:05")+" UTC.")
}
