package admin

import (
	"bufio"
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestPagesHearOfChanges(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.readOnly()
	answer, err := b.http.Get(g.url + "/admin/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" || answer.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%s: %v", answer.Status, answer.Header)
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: beat") {
			break
		}
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
	if answer, err = g.browser().http.Get(g.url + "/admin/live"); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("who has not signed in gets %v, %v", answer.Status, err)
	}
	_ = answer.Body.Close()
}

// The script opens again, by its id, what somebody had opened in a part of a page that is fetched anew.
func TestWhatIsOpenCanStayOpen(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	folds := 0
	for _, name := range names {
		source, err := fs.ReadFile(templateFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(source, []byte("{{live ")) && !strings.HasPrefix(name, "templates/parts") {
			continue
		}
		for _, tag := range regexp.MustCompile(`<details[^>]*>`).FindAllString(string(source), -1) {
			folds++
			if !strings.Contains(tag, ` id="`) && !strings.Contains(tag, `class="confirm"`) { // while one asks, nothing is fetched
				t.Errorf("%s: %s has no id", name, tag)
			}
		}
	}
	if folds < 8 {
		t.Errorf("there are %d", folds)
	}
}

// Attempts come and go above and below the one whose log is read.
func TestIdsOfWhatOpensAreStable(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	org, id := g.hostileJob("queued")
	b := g.admin()
	ids := func() (list []string) {
		t.Helper()
		for _, d := range b.get("/admin/jobs/" + id).wants(http.StatusOK).find("details") {
			if attribute(d, "class") != "confirm" {
				list = append(list, attribute(d, "id"))
			}
		}
		return list
	}
	before := ids()
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, wait_cause, log, ended_at)
		VALUES ($1, $2, 'ai.completion', 'ai', 1, 1, 'waiting', '0123456789abcdef', '[{"at":"2026-01-01T00:00:00Z","level":"INFO","message":"x"}]', now() + interval '1 s')`, org, id)
	after := ids()
	if len(before) != 1 || len(after) != 2 || after[1] != before[0] || after[0] == after[1] || before[0] == "" {
		t.Errorf("the ids are %q, and with one more attempt %q", before, after)
	}
}

// A page that waits for news of a sort that nobody sends is never fetched anew.
func TestPagesWaitForNewsThatAreSent(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../api/admin_live.go")
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(templateFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, live := range regexp.MustCompile(`\{\{live "([^"]*)"\}\}`).FindAllSubmatch(text, -1) {
			for word := range strings.FieldsSeq(string(live[1])) {
				if !bytes.Contains(source, []byte(`"`+word+`"`)) {
					t.Errorf("%s waits for news of %s", name, word)
				}
			}
		}
	}
}

// Whatever of a chain changes, what sums it up changes with it.
func TestChainsAreLive(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, event, _, _ := g.told()
	for _, part := range g.admin().get("/admin/chain/" + event).wants(http.StatusOK).find("div") {
		if attribute(part, "id") != "live" {
			continue
		}
		said := textOf(part)
		if attribute(part, "data-live") != "chain" || !strings.Contains(said, "Went wrong") || !strings.Contains(said, "POST, attempt 1") {
			t.Errorf("with news of %q is fetched %s", attribute(part, "data-live"), said)
		}
		return
	}
	t.Error("nothing of it is live")
}
