package jobs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A client holds a key of the site's organization, and asks an API process that shares nothing with the worker
// but the servers.
type client struct {
	t        *testing.T
	url, key string
}

const operatorKey = "an-admin-key-of-at-least-32-characters"

// client starts an API process for the site, and an organization that is the site's from then on.
func (s *site) client() *client {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), store.PoolOptions{URL: s.url, Role: store.App, Name: "test-api", MaxConns: 8})
	s.must(err)
	s.t.Cleanup(db.Close)
	cache, err := cachetag.Open(cachetag.Options{URL: localstack.TestRedis(s.t).URL(), ReadTimeout: patience, WriteTimeout: patience})
	s.must(err)
	s.t.Cleanup(func() { cache.Close() })
	var kinds []api.Kind
	for _, j := range jobs.All(s.deps) {
		if j.Spec.Scope != "" {
			kinds = append(kinds, api.Kind{Name: j.Kind, Queue: j.Spec.Queue.Name, Scope: j.Spec.Scope,
				Share: j.Spec.Queue.Share, MaxAttempts: j.Spec.MaxAttempts, Changes: j.Spec.Changes, Beside: j.Spec.Beside})
		}
	}
	server, err := api.New(api.Config{DB: db, Kinds: kinds, Hints: hint.New(s.nc), Cache: cache, AdminKey: operatorKey,
		Version: "test", Log: s.logged.log(), Tickets: s.deps.Mailing.Tickets, Webhooks: s.receivers})
	s.must(err)
	h := httptest.NewServer(server.Handler())
	s.t.Cleanup(func() { server.Close(); h.Close() })
	c := &client{s.t, h.URL, operatorKey}
	var made struct {
		ID     string
		APIKey struct{ Key string } `json:"api_key"`
	}
	c.ask("POST", "/api/organizations", `{"name":"Rao Textiles","state":"KA"}`, &made)
	s.organization, c.key = made.ID, made.APIKey.Key
	return c
}

// ask sends a request, reads the answer's body, and gives its headers.
func (c *client) ask(method, path, body string, into any, headers ...string) http.Header {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, text, err)
	}
	if into != nil {
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(into); err != nil {
			c.t.Fatalf("%s %s: %s: %v", method, path, text, err)
		}
	}
	return res.Header
}

type scored struct {
	ID        string
	LeadScore *int `json:"lead_score"`
	Insights  []struct{ Output rating }
}

// lead is a contact of which the first page of contacts, as the cache keeps it, knows no score.
func (c *client) lead() (id string) {
	c.t.Helper()
	var contact scored
	c.ask("POST", "/api/contacts", `{"name":"Asha Rao","company":"Rao Textiles","notes":"GST billing for 4 shops"}`, &contact)
	c.first()
	if first, from := c.first(); from != "hit" || first.LeadScore != nil || first.ID != contact.ID {
		c.t.Fatalf("before: %s, %+v; want the contact without a score, from the cache", from, first)
	}
	return contact.ID
}

// first is the newest contact as the list shows it, and where that comes from.
func (c *client) first() (first scored, from string) {
	c.t.Helper()
	var page struct{ Data []scored }
	from = c.ask("GET", "/api/contacts", "", &page).Get("X-Cache")
	return page.Data[0], from
}

// score hands over ai.lead_score.
func (c *client) score(contact string) (job string) {
	c.t.Helper()
	var made struct{ ID string }
	c.ask("POST", "/api/jobs", `{"kind":"ai.lead_score","input":{"contact_id":"`+contact+`"}}`, &made)
	return made.ID
}

// succeeded tells whether a job has, and fails the test when it ended otherwise.
func (c *client) succeeded(status string) bool {
	c.t.Helper()
	if status == store.Failed || status == store.Cancelled {
		c.t.Fatalf("the job has %s", status)
	}
	return status == store.Succeeded
}

type seenJob struct {
	Status string
	Output struct{ JSON rating }
}

// hearing are the ways to hear of a job's end.
var hearing = map[string]func(c *client, job string){
	"waiting": func(c *client, job string) {
		for j := (seenJob{}); !c.succeeded(j.Status); {
			c.ask("GET", "/api/jobs/"+job, "", &j, "Prefer", "wait=55")
		}
	},
	"looking all the time": func(c *client, job string) {
		for j := (seenJob{}); !c.succeeded(j.Status); {
			c.ask("GET", "/api/jobs/"+job, "", &j)
		}
	},
	"looking at the list of jobs": func(c *client, job string) {
		for page := (struct{ Data []seenJob }{Data: make([]seenJob, 1)}); !c.succeeded(page.Data[0].Status); {
			c.ask("GET", "/api/jobs?limit=1", "", &page)
		}
	},
	"following": func(c *client, job string) { c.ask("GET", "/api/jobs/"+job+"/events", "", nil) },
}

// A client that knows that ai.lead_score is done, however it got to know, reads the score wherever it looks, and
// never again what was cached before; not even when the worker died before it could make that void, and while
// nobody works the queue of invalidations.
func TestScoreIsShownOnceItIsKnown(t *testing.T) {
	t.Parallel()
	for name, hear := range hearing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(_ *inference.Config, d *jobs.Deps) { d.Cache = nil })
			s.worker(map[string]int{"ai": 2})
			c := s.client()
			for range 3 {
				contact := c.lead()
				job := c.score(contact)
				hear(c, job)
				var scores [2]int
				for i := range scores {
					now, from := c.first()
					if now.LeadScore == nil {
						t.Fatalf("the list shows no score, by a %s", from)
					}
					scores[i] = *now.LeadScore
				}
				var j seenJob
				var detail scored
				c.ask("GET", "/api/jobs/"+job, "", &j)
				c.ask("GET", "/api/contacts/"+contact, "", &detail)
				want := j.Output.JSON
				if scores != [2]int{want.Score, want.Score} || *detail.LeadScore != want.Score || len(detail.Insights) != 1 || detail.Insights[0].Output != want {
					t.Errorf("the list shows %v and the detail %+v, want %+v", scores, detail, want)
				}
			}
		})
	}
}

// An announcing worker says that a job changed only when the test has let it.
type announcing struct {
	jobs.Hints
	of   chan string
	told chan struct{}
	over chan struct{} // closed: the test listens no more
}

func (a announcing) JobChanged(id string) {
	select {
	case a.of <- id:
		<-a.told
	case <-a.over:
	}
	a.Hints.JobChanged(id)
}

// When the worker tells others that the job is done, what was cached is void already.
func TestScoreIsShownBeforeItIsAnnounced(t *testing.T) {
	t.Parallel()
	a := announcing{of: make(chan string), told: make(chan struct{}), over: make(chan struct{})}
	s := newSite(t, func(_ *inference.Config, d *jobs.Deps) { a.Hints = d.Hints; d.Hints = a })
	c := s.client()
	contact := c.lead()
	job := c.score(contact)
	s.worker(map[string]int{"ai": 2})
	defer close(a.over)
	for ended := false; !ended; a.told <- struct{}{} {
		select {
		case id := <-a.of:
			ended = id == job && c.succeeded(s.job(job).Status) // asks the database: the API would make it void itself
		case <-time.After(patience):
			t.Fatalf("the job does not end:\n%s", s.logged)
		}
		if first, from := c.first(); ended && first.LeadScore == nil {
			t.Errorf("the list shows no score, by a %s", from)
		}
	}
}
