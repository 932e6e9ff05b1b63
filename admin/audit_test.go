package admin

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// TestAuditActionsAreAllThatIsNoted reads in the source what operators' acts are called.
func TestAuditActionsAreAllThatIsNoted(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../api/admin_*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range append(files, "../internal/store/bulk_actions.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	noted := map[string]bool{}
	for verb := range bulkVerbs {
		noted["bulk."+verb] = true
	}
	for prefix, pattern := range map[string]string{
		"":     `(?:Action: +|Action = |(?:switchEndpoint|setQueues|changeSchedule|noteSession)\((?:\w+, )+)"([a-z]+\.[a-z_]+)"`,
		"job.": `(?:actOnJob|makeJob)\(ctx, "(\w+)"`,
	} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(source.String(), -1) {
			noted[prefix+m[1]] = true
		}
	}
	// What takes long is noted when it begins, too: replays and redrives.
	for _, m := range regexp.MustCompile(`Action \+= "(\w+)"`).FindAllStringSubmatch(source.String(), -1) {
		noted["event.redrive"+m[1]], noted["event.replay"+m[1]] = true, true
	}
	if callers := strings.Count(source.String(), "s.actByParts("); callers != 2 {
		t.Errorf("%d acts are noted when they begin", callers)
	}
	for _, m := range regexp.MustCompile(`(?:act|AuditEntry)\{[^}]*Action: +([^,}]+)`).FindAllStringSubmatch(source.String(), -1) {
		literal := regexp.MustCompile(`^"[^"]*"$`).MatchString(m[1])
		if !literal && !slices.Contains([]string{"action", "a.Action", "r.Action", `"job." + action`, `"bulk." + o.Action`}, m[1]) {
			t.Errorf("an act is called %s, which this test does not understand", m[1])
		}
	}
	want := slices.Sorted(slices.Values(auditActions))
	if got := slices.Sorted(maps.Keys(noted)); !slices.Equal(got, want) {
		t.Errorf("the code notes %q,\nand the filter offers %q", got, want)
	}
}

func TestAuditKeepsAnUnknownActionChosen(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, action := range []string{"job.follow", "job.forget"} {
		var chosen []string
		for _, option := range g.admin().get("/admin/audit?action=" + action).wants(http.StatusOK).find("option") {
			if has(option, "selected") {
				chosen = append(chosen, textOf(option))
			}
		}
		if !slices.Equal(chosen, []string{action}) {
			t.Errorf("of %s, chosen is %q", action, chosen)
		}
	}
}

// What an entry is about leads to its page, if it has one, and otherwise nowhere.
func TestAuditLeadsToWhatItIsAbout(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	_, job := g.hostileJob("failed")
	organization, event, endpoint, delivery := g.told()
	gone, missing := "0197eeee-0000-7000-8000-000000000001", "not_found"
	for _, e := range []store.AuditEntry{
		{Action: "job.retry", Target: "job", TargetID: job},
		{Action: "job.delete", Target: "job", TargetID: gone},
		{Action: "job.retry", Target: "job", TargetID: "nothing", Outcome: store.AuditRefused, Detail: &missing},
		{Action: "event.reveal", Target: "event", TargetID: event},
		{Action: "event.redrive", Target: "dead_event", TargetID: "all"},
		{Action: "event.replay", Target: "events", TargetID: "since 2026-01-01T00:00:00Z"},
		{Action: "webhook.disable", Target: "webhook", TargetID: endpoint, OrganizationID: &organization},
		{Action: "delivery.replay", Target: "delivery", TargetID: delivery, OrganizationID: &organization},
		{Action: "queue.pause", Target: "queue", TargetID: "*"},
		{Action: "backup.make", Target: "backup", TargetID: "new"},
		{Action: "model.pull", Target: "model", TargetID: "mistral:7b"},
		{Action: "suppression.add", Target: "suppression", TargetID: gone},
		{Action: "view.keep", Target: "view", TargetID: gone},
	} {
		if e.KeyID = "admin"; e.Outcome == "" {
			e.Outcome = store.AuditDone
		}
		g.noted(e)
	}
	b := g.admin()
	links := map[string]bool{}
	for _, a := range b.get("/admin/audit").wants(http.StatusOK, "mistral:7b", "nothing", "since 2026-01-01T00:00:00Z").find("a") {
		to, inTable := attribute(a, "href"), false
		for n := range a.Ancestors() {
			inTable = inTable || n.Data == "tbody"
		}
		if inTable && !strings.HasPrefix(to, "/admin/audit?key_id=") { // a key leads to what was done with it
			links[to] = true
			b.get(to).wants(http.StatusOK)
		}
	}
	want := map[string]bool{"/admin/jobs/" + job: true, "/admin/chain/" + event: true, "/admin/events/dead?all=true": true, "/admin/queues": true,
		"/admin/webhooks/" + organization + "/" + endpoint: true, "/admin/webhooks/deliveries/" + delivery: true}
	if !maps.Equal(links, want) {
		t.Errorf("it leads to %v, want %v", links, want)
	}
}
