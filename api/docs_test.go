package api

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The page lists what a reader asks for first: resources, kinds of jobs with their input, what a stream sends.
func TestDocsTellOfJobsAndResources(t *testing.T) {
	t.Parallel()
	s, err := build(Config{Version: "test", Kinds: []Kind{
		{Name: "ai.chat", Scope: "jobs", MaxAttempts: 3, Schema: json.RawMessage(`{"type":"object","required":["messages"],"properties":{
			"cache":{"const":"no-store"},"n":{"type":["integer","null"],"minimum":1,"maximum":9,"description":"how many"},
			"messages":{"type":"array","minItems":1,"items":{"type":"object","required":["role"],"properties":{"role":{"enum":["user","system"]}}}}}}`),
			Summary: "Goes on talking.", Notes: "Kept for a day.",
			Output: json.RawMessage(`{"title":"Answer","type":"object","required":["text","json"],"properties":{"text":{"type":"string"},
				"why":{"enum":["slow",null]},"json":{"type":"object","required":["sum"],"properties":{"sum":{"type":"integer","description":"in paise"}}}}}`),
			Codes: []JobCode{{"too_long", 422, "It was too long."}, {"not_found", 422, "No such record."}}},
		{Name: "db.backup", Scope: "admin", MaxAttempts: 2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	page := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(s.documents.docs), "|"))
	page = regexp.MustCompile(`[|\s]*[|][|\s]*`).ReplaceAllString(page, "|")
	for _, want := range []string{
		"|ai.chat|Goes on talking. Kept for a day.|Scope: jobs. Tried up to 3 times.|Input|Field|Type|Meaning|messages|*|list of object, not empty|messages[].role|*|one of user, system|cache|no-store|n|integer or null, 1 to 9|how many|Output|An|Answer|, with|Field|Type|Meaning|json.sum|*|integer|in paise|Fails with|too_long|,|not_found|.|",
		"|Answer: what the AI kinds give|Field|Type|Meaning|text|*|string|json|*|object|why|slow or null|",
		"|Asking models|", "|relaxed|: Ollama has minutes", "|reset|in the|stream|withdraws the text so far. With the reason|polished|",
		"|422|too_long|Of a job that failed: It was too long.|", "As the error of a job (422): No such record.|",
		"|db.backup|Scope: admin. Tried up to 2 times.|Input|The input is an object.|",
		`|token|{"text"}|`, "|done|the job|", "|Is the service well?|", "|data|*|list of|ContactView|",
		`|plural .days "day" "days"|A number and its noun: 1 day, 3 days.|`, `"due_date": "2026-12-02",`,
		"|report_ready|Says that a report was made, and where it is. An example", "|report.url|,|report.expires_on|",
		"|Contacts|GET|/api/contacts|POST|/api/contacts|GET|/api/contacts/{id}|",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "?.") {
		t.Error("a question ends with a full stop")
	}
	for _, rt := range s.routes() {
		if resourceOf(rt.path) == "" {
			t.Errorf("%s is about nothing", rt.path)
		}
	}
	if _, err := build(Config{Kinds: []Kind{{Name: "x", Schema: json.RawMessage(`[]`)}}}); err == nil {
		t.Error("a schema that can't be read is taken")
	}
	if _, err := build(Config{Kinds: []Kind{{Name: "x", Output: json.RawMessage(`[]`)}}}); err == nil {
		t.Error("a schema of outputs that can't be read is taken")
	}
	for _, want := range []string{`"OutputOfAiChat":{`, `"x-output":{"$ref":"#/components/schemas/OutputOfAiChat"}`,
		`"x-codes":["too_long","not_found"]`, `"description":"Goes on talking. Kept for a day."`} {
		if !strings.Contains(string(s.documents.openAPI), want) {
			t.Errorf("the OpenAPI document lacks %s", want)
		}
	}
	if n := strings.Count(string(s.documents.docs), `id="not_found"`); n != 1 {
		t.Errorf("%d places explain not_found", n)
	}
}

// Who asks for the root or for a folder is sent to the page, and counted.
func TestReadersAreSentToTheDocs(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 5, time.Hour))
	for _, path := range []string{"/", "/docs/"} {
		if got := g.call(t, "", "GET", path, "").want(http.StatusTemporaryRedirect).header.Get("Location"); got != "/docs" {
			t.Errorf("%s leads to %q", path, got)
		}
	}
	g.call(t, "", "GET", "/docs/nowhere", "").problem(404, "not_found")
	g.call(t, "", "GET", "/nowhere/", "").problem(404, "not_found")
	g.call(t, "", "POST", "/", "{}").problem(405, "method_not_allowed")
	g.call(t, "", "GET", "/", "").problem(429, "rate_limited")
}
