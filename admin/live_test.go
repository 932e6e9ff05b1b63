package admin

import (
	"bufio"
	"net/http"
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
