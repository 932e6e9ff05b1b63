package admin

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAlertsLeadToPages: what is the matter is told by the API, and shown on pages that it must know.
func TestAlertsLeadToPages(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../api/admin_status.go")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, pg := range new(Pages).table() {
		there[pg.pattern] = there[pg.pattern] || pg.method == http.MethodGet
	}
	links := regexp.MustCompile(`"(/admin/[^"]*)"`).FindAllStringSubmatch(string(source), -1)
	if len(links) < 8 {
		t.Fatalf("found %d links of alerts", len(links))
	}
	for _, link := range links {
		path, query, _ := strings.Cut(link[1], "?")
		if !there[path] || strings.HasPrefix(query, "tab=") {
			t.Errorf("an alert leads to %s, which is no page", link[1])
		}
	}
}

// TestOrganizationsLeadToTheirJobs: from a job, its chain and the list.
func TestOrganizationsLeadToTheirJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	org, id := g.hostileJob("failed")
	b := g.admin()
	for _, path := range []string{"/admin/jobs", "/admin/jobs/" + id, "/admin/chain/" + id} {
		found := false
		for _, a := range b.get(path).wants(http.StatusOK).inert().find("a") {
			found = found || attribute(a, "href") == "/admin/jobs?organization_id="+org && textOf(a) == hostile
		}
		if !found {
			t.Errorf("%s: the organization's name does not lead to its jobs", path)
		}
	}
}

func TestOutcomesThatAreNotKnownWentWrong(t *testing.T) {
	t.Parallel()
	for state, tone := range map[string]string{"ok": "good", "too_large": "bad", "breaker_open": "bad", "cancelled": "idle"} {
		if got := string(outcome(state)); !strings.Contains(got, `"badge `+tone+`"`) {
			t.Errorf("outcome %s: %s, want %s", state, got, tone)
		}
	}
}

func TestRoundTimesAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{15 * time.Minute: "15 min", 90 * time.Second: "1 min 30 s", 24 * time.Hour: "24 h", 61 * time.Minute: "1 h 01 min"} {
		if got := string(took(d)); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
