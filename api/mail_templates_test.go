package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
)

func (r *reply) mailTemplate() (v mailTemplateDetail) {
	r.t.Helper()
	r.json(&v)
	return v
}

func TestMailTemplates(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	first := g.call(t, key, "POST", "/api/mail/templates", `{"name":"thanks","subject":"Thanks, {{.name}}","html":"<p>{{.name}}</p>"}`).want(201)
	made := first.mailTemplate()
	if made.Name != "thanks" || made.Text != nil || made.HTML == nil || *made.HTML != "<p>{{.name}}</p>" || made.Version != 1 {
		t.Errorf("made %s", first.body)
	}
	path := first.header.Get("Location")
	read := g.call(t, key, "GET", path, "").want(200)
	g.call(t, key, "GET", path, "", "If-None-Match", read.header.Get("ETag")).want(304)

	changed := g.call(t, key, "PATCH", path, `{"text":"Hello {{.name}}","html":null}`, "If-Match", `"1"`).want(200)
	if v := changed.mailTemplate(); v.Version != 2 || v.HTML != nil || v.Text == nil || v.Subject != made.Subject || changed.header.Get("ETag") != `"2"` {
		t.Errorf("changed %s", changed.body)
	}
	g.call(t, key, "PATCH", path, `{"text":"x"}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	if v := g.call(t, key, "PATCH", path, `{"subject":"`+made.Subject+`"}`).want(200).mailTemplate(); v.Version != 2 {
		t.Errorf("a change to the same is version %d", v.Version)
	}
	own, err := g.system.MailTemplateNamed(t.Context(), org, "thanks")
	if err != nil || own.ID != made.ID || own.Text != "Hello {{.name}}" || own.HTML != "" {
		t.Errorf("the sender reads %+v, %v", own, err)
	}

	g.call(t, key, "POST", "/api/mail/templates", `{"name":"later","subject":"x","text":"x"}`).want(201)
	var list page[MailTemplateView]
	g.call(t, key, "GET", "/api/mail/templates?limit=1", "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].Name != "later" || !list.HasMore {
		t.Errorf("the list is %+v", list)
	}
	g.call(t, key, "GET", "/api/mail/templates?limit=1&cursor="+*list.NextCursor, "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].Name != "thanks" || list.HasMore {
		t.Errorf("the rest of the list is %+v", list)
	}
	g.call(t, key, "GET", "/api/mail/templates?name=thanks", "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].ID != made.ID {
		t.Errorf("by name the list is %+v", list)
	}

	g.call(t, key, "DELETE", path, "", "If-Match", `"1"`).problem(412, "precondition_failed")
	g.call(t, key, "DELETE", path, "", "If-Match", `"2"`).want(204)
	g.call(t, key, "GET", path, "").problem(404, "not_found")
	g.call(t, key, "DELETE", path, "").problem(404, "not_found")
	g.call(t, key, "PATCH", path, `{}`).problem(404, "not_found")
}

// An organization has a name once, and others may have it as well.
func TestMailTemplateNamesAreUnique(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	_, other := g.organization(t)
	const body = `{"name":"thanks","subject":"x","text":"x"}`
	g.call(t, key, "POST", "/api/mail/templates", body).want(201)
	g.call(t, key, "POST", "/api/mail/templates", body).problem(409, "name_taken", "/name")
	g.call(t, other, "POST", "/api/mail/templates", body).want(201)
	path := g.call(t, key, "POST", "/api/mail/templates", strings.Replace(body, "thanks", "more", 1)).want(201).header.Get("Location")
	g.call(t, key, "PATCH", path, `{"name":"thanks"}`).problem(409, "name_taken", "/name")

	const makers = 8
	statuses := make(chan int, makers)
	var all sync.WaitGroup
	for range makers {
		all.Go(func() {
			statuses <- g.call(t, key, "POST", "/api/mail/templates", strings.Replace(body, "thanks", "race", 1)).status
		})
	}
	all.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if count[201] != 1 || count[409] != makers-1 {
		t.Errorf("of %d at once: %v", makers, count)
	}
}

// What can't be rendered is not kept, and its place is said.
func TestBadMailTemplatesAreRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	quoted := func(s string) string {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	good := g.call(t, key, "POST", "/api/mail/templates", `{"name":"good","subject":"x","text":"x","html":"x"}`).want(201).header.Get("Location")
	for _, row := range []struct{ fields, pointer, detail string }{
		{`"html":"<p>\n  {{.name}"`, "/html", `line 2: bad character`},
		{`"html":"<p>\n  {{printf .name}}"`, "/html", `line 2, column 5: there is no function printf`},
		{`"text":"{{template \"x\"}}"`, "/text", `line 1, column 12: define, block and template aren't taken`},
		{`"subject":"{{range .a}}"`, "/subject", `line 1: unexpected EOF`},
		{`"subject":" "`, "/subject", `must not be blank`},
		{`"text":null,"html":" "`, "/html", `must not be blank where there is no text either`},
		{`"html":` + quoted(strings.Repeat("ü", 33_000)), "/html", `is longer than 64 KiB`},
		{`"html":` + quoted(strings.Repeat("x", 70_000)), "/html", `expected length <= 65536`},
		{`"subject":` + quoted(strings.Repeat("x", 2_001)), "/subject", `expected length <= 2000`},
		{`"html":"<script>{{.name}}</script>"`, "/html", `line 1, column 1: script isn't taken`},
		{`"html":"<a title='{{.name}}"`, "/html", `the HTML ends inside a tag`},
		{`"name":"Bad"`, "/name", `expected string to match pattern`},
		{`"name":"` + strings.Repeat("x", 65) + `"`, "/name", `expected string to match pattern`},
		{`"name":"x\ny"`, "/name", `expected string to match pattern`},
		{`"name":"invoice\n"`, "/name", `expected string to match pattern`},
		{`"name":7`, "/name", `expected string`},
		{`"text":7`, "/text", `expected string`},
		{`"texts":"x"`, "/texts", `unexpected property`},
		{`"name":"invoice","html":"{{.invoice.numbr}}"`, "/html", `line 1, column 11: {{.invoice.numbr}}: the data have no "numbr" (with the sample data of invoice)`},
		{`"name":"invoice","text":"{{rupees .invoice.number}}"`, "/text", `line 1, column 3: rupees takes a whole number of paise, not a text (with the sample data of invoice)`},
	} {
		for _, ask := range []struct{ method, path, body string }{
			{"POST", "/api/mail/templates", whole(t, row.fields)}, {"PATCH", good, "{" + row.fields + "}"},
		} {
			p := g.call(t, key, ask.method, ask.path, ask.body).problem(422, "validation_failed")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != row.pointer || !strings.Contains(p.Errors[0].Detail, row.detail) {
				t.Errorf("%s %.80s: %+v, want %s: %s", ask.method, row.fields, p.Errors, row.pointer, row.detail)
			}
		}
	}
	g.call(t, key, "PATCH", good, `{"name":null,"subject":null}`).problem(422, "validation_failed")
	if v := g.call(t, key, "GET", good, "").want(200).mailTemplate(); v.Version != 1 {
		t.Errorf("a refused change has made version %d", v.Version)
	}
	var list page[MailTemplateView]
	if g.call(t, key, "GET", "/api/mail/templates", "").want(200).json(&list); len(list.Data) != 1 {
		t.Errorf("kept are %+v", list.Data)
	}
}

// whole adds what a template needs to fields of one.
func whole(t *testing.T, fields string) string {
	t.Helper()
	body := map[string]json.RawMessage{"name": json.RawMessage(`"x"`), "subject": json.RawMessage(`"x"`), "text": json.RawMessage(`"x"`)}
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte("{"+fields+"}"), &given); err != nil {
		t.Fatal(err)
	}
	for name, value := range given {
		body[name] = value
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The database's own bounds are those of the API: what it takes can be stored.
func TestLargestMailTemplateIsKept(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	body := fmt.Sprintf(`{"name":"x%s","subject":"%s{{/*%s*/}}","text":"%s","html":"%[4]s"}`, strings.Repeat("_", 63),
		strings.Repeat("ह", 250), strings.Repeat("ह", 1_742), strings.Repeat("x", letter.MaxSource))
	g.call(t, key, "POST", "/api/mail/templates", body).want(201)
}

func TestMailTemplateScopes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	path := "/api/mail/templates/" + belongings["/api/mail/templates/"](g, t, key)
	reader, worker := g.key(t, key, "read"), g.key(t, key, "jobs")
	for _, ask := range [][3]string{{"GET", path, ""}, {"GET", "/api/mail/templates", ""}, {"POST", "/api/mail/templates/preview", `{"template":"hush"}`}} {
		g.call(t, reader, ask[0], ask[1], ask[2]).want(200)
		g.call(t, worker, ask[0], ask[1], ask[2]).problem(403, "forbidden")
	}
	for _, ask := range [][3]string{{"PATCH", path, `{}`}, {"DELETE", path, ""}, {"POST", "/api/mail/templates", `{"name":"x","subject":"x","text":"x"}`}} {
		g.call(t, reader, ask[0], ask[1], ask[2]).problem(403, "forbidden")
	}
}

func (r *reply) preview() (v mailPreview) {
	r.t.Helper()
	r.want(http.StatusOK).json(&v)
	return v
}

func TestPreview(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	_, other := g.organization(t)
	const path = "/api/mail/templates/preview"
	ask := func(body string) *reply { return g.call(t, key, "POST", path, body) }

	for _, name := range letter.StandardNames() {
		v := ask(`{"template":"` + name + `"}`).preview()
		if v.HTML == nil || v.Text == nil || len(v.Warnings) != 0 || v.Template.HTML == nil || !strings.Contains(*v.HTML, "Bharat Auto Parts") {
			t.Errorf("%s: %+v", name, v)
		}
		// What was rendered is a template, and its data are data.
		again, err := json.Marshal(map[string]any{"template": v.Template, "data": v.Data})
		if err != nil {
			t.Fatal(err)
		}
		if w := ask(string(again)).preview(); *w.HTML != *v.HTML || *w.Text != *v.Text || w.Subject != v.Subject {
			t.Errorf("%s by its own source is %+v", name, w)
		}
	}
	v := ask(`{"template":{"subject":"Hi {{.name}}","html":"<a href='/x'>{{.name}}</a>"},"data":{"name":"A&B"}}`).preview()
	if v.Subject != "Hi A&B" || *v.HTML != "<a href='/x'>A&amp;B</a>" || v.Text != nil || len(v.Warnings) != 2 {
		t.Errorf("an inline template gives %+v", v)
	}
	if v := ask(`{"template":{"subject":"x","text":"x","html":null},"data":null}`).preview(); string(v.Data) != "{}" || *v.Text != "x" {
		t.Errorf("without data: %+v", v)
	}

	// One's own takes the place of the product's, and is nobody else's.
	g.call(t, key, "POST", "/api/mail/templates", `{"name":"invoice","subject":"Ours {{.invoice.number}}","text":"{{rupees .invoice.total}}"}`).want(201)
	if v := ask(`{"template":"invoice"}`).preview(); v.Subject != "Ours 2026-27/0042" || *v.Text != "₹1,18,000.00" || v.HTML != nil {
		t.Errorf("one's own gives %+v", v)
	}
	var theirs mailPreview
	if g.call(t, other, "POST", path, `{"template":"invoice"}`).want(200).json(&theirs); theirs.Subject == "Ours 2026-27/0042" {
		t.Error("another organization's template was rendered")
	}
	jobs, err := g.system.Pool().Exec(t.Context(), `SELECT FROM jobs UNION ALL SELECT FROM mail_messages UNION ALL SELECT FROM outbox`)
	if err != nil || jobs.RowsAffected() != 0 {
		t.Errorf("previews left %d jobs, mails and facts, %v", jobs.RowsAffected(), err)
	}
}

func TestPreviewIsChecked(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	g.call(t, key, "POST", "/api/mail/templates", `{"name":"mine","subject":"x","text":"{{.x}}"}`).want(201)
	for body, want := range map[string]string{
		`{}`:                                    `/template is required`,
		`{"template":null}`:                     `/template must be the name of a template, or an object`,
		`{"template":7}`:                        `/template must be the name of a template, or an object`,
		`{"template":""}`:                       `/template must be the name of a template, or an object`,
		`{"template":[]}`:                       `/template must be the name of a template, or an object`,
		`{"template":"nothing"}`:                `/template there is no such template; the product has deal_won, invoice, reminder, report_ready, webhook_disabled`,
		`{"template":{}}`:                       `/template/subject must not be blank`,
		`{"template":{"subject":"x"}}`:          `/template/html must not be blank where there is no text either`,
		`{"template":{"subject":7,"text":"x"}}`: `/template/subject`,
		`{"template":{"subject":"x","text":"x","a/b":1}}`:                  `/template/a~1b is none of subject, text and html`,
		`{"template":{"subject":"x","text":"{{.a}}"}}`:                     `/template/text line 1, column 3: {{.a}}: the data have no "a"`,
		`{"template":{"subject":"{{.a}}","text":"x"},"data":{"a":"x\ny"}}`: `/template/subject has the character U+000A`,
		`{"template":"mine"}`:                                                    `/text line 1, column 3: {{.x}}: the data have no "x"`,
		`{"template":"mine","data":[]}`:                                          `/data expected object`,
		`{"template":"invoice","data":{"invoice":7}}`:                            `/data/organization is missing`,
		`{"template":"mine","data":{"x":"` + strings.Repeat("x", 70_000) + `"}}`: `/data are longer than 64 KiB`,
		`{"template":"mine","x":1}`:                                              `/x unexpected property`,
	} {
		p := g.call(t, key, "POST", "/api/mail/templates/preview", body).problem(422, "validation_failed")
		if got := p.Errors[0].Pointer + " " + p.Errors[0].Detail; !strings.HasPrefix(got, want) {
			t.Errorf("%.80s: %s, want %s", body, got, want)
		}
	}
}

// Queries name the organization themselves, so that a role that sees all of them reads the right one's.
func TestMailTemplatesAreOfTheirOrganization(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	mine, key := g.organization(t)
	theirs, _ := g.organization(t)
	id := belongings["/api/mail/templates/"](g, t, key)
	if _, err := g.DB.MailTemplate(t.Context(), theirs, id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another reads it: %v", err)
	}
	if _, err := g.system.MailTemplateNamed(t.Context(), theirs, "hush"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the system reads it for another: %v", err)
	}
	if _, err := g.DB.MailTemplateNamed(t.Context(), mine, "hush"); err != nil {
		t.Error(err)
	}
}
