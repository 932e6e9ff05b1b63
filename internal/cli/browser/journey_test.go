package browser

import (
	"context"
	"net/http"
	"testing"

	"github.com/payaid/payaid/operator"
)

// TestJourneys does what an operator does at three in the morning.
func TestJourneys(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, own := s.organization(t)
	t.Run("a failed job", func(t *testing.T) { s.failedJob(t, own) })
	t.Run("without scripts", s.retryWithoutScripts)
	t.Run("who may look", s.whoMayLook)
	t.Run("what is open", s.whatIsOpen)
	t.Run("select meanwhile", s.selectMeanwhile)
	t.Run("delete what is selected", s.deleteSelected)
	t.Run("delete without scripts", s.deleteSelectedWithoutScripts)
	t.Run("many failed jobs", s.manyFailedJobs)
	t.Run("a paused queue", s.pausedQueue)
}

// organization makes one with work, and a client of it.
func (s *site) organization(t *testing.T) (id string, own operator.Client) {
	t.Helper()
	var made struct {
		ID     string `json:"id"`
		APIKey struct {
			Key string `json:"key"`
		} `json:"api_key"`
	}
	s.do(t, http.MethodPost, "/api/organizations", map[string]any{"name": "Doors and Sons", "state": "Goa"}, &made)
	return made.ID, operator.Client{URL: s.url, Key: made.APIKey.Key}
}

type jobView struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func submit(t *testing.T, own operator.Client, url string) string {
	t.Helper()
	var j jobView
	insist(t, func(ctx context.Context) error {
		return own.Do(ctx, http.MethodPost, "/api/jobs", map[string]any{"kind": "browser.door", "input": map[string]any{"url": url}}, &j)
	})
	return j.ID
}

// statusOf is the status of a job as its client sees it.
func statusOf(t *testing.T, own operator.Client, id string) string {
	t.Helper()
	var j jobView
	insist(t, func(ctx context.Context) error { return own.Get(ctx, "/api/jobs/"+id, nil, &j) })
	return j.Status
}

// failedJob finds a job by what it failed of, reads how it came to be, retries it, and watches it succeed.
func (s *site) failedJob(t *testing.T, own operator.Client) {
	g := newGate(t)
	id := submit(t, own, g.url)
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/jobs?kind=browser.door")
	b.until("the job fails, and the list shows it by itself", `document.querySelector("[data-list] .badge.bad") !== null`)
	b.open("/admin/jobs?error=blue+door")
	b.says("browser.door")
	if n := asked[int](b, `document.querySelectorAll("[data-list] tbody > tr").length`); n != 1 {
		t.Errorf("%d jobs failed of that", n)
	}
	b.press("j\r")
	b.until("Enter opens the job", `location.pathname === "/admin/jobs/`+id+`" && document.readyState === "complete"`)
	b.says("nobody opened the blue door")
	b.open("/admin/chain/" + id)
	for _, step := range []string{"job.requested", "browser.door", "door_closed"} {
		b.says(step)
	}
	b.open("/admin/jobs/" + id)
	g.open.Store(true)
	b.press("r")
	b.until("it succeeds before one's eyes", `location.pathname === "/admin/jobs/`+id+`" && document.querySelector(".head .badge.good") !== null || document.querySelector("#live .timeline li.good") !== null`)
	b.calm("a failed job")
}
