package jobs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
)

// A receiver takes callbacks and answers as it is told, then with 200.
type receiver struct {
	URL string

	mu      sync.Mutex
	answers []int
	taken   []received
	hang    chan struct{} // not nil: answers come when it is closed
}

// received is a request as a receiver read it.
type received struct {
	header http.Header
	body   []byte
	called
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	one := received{header: q.Header, body: body}
	_ = json.Unmarshal(body, &one.called)
	r.mu.Lock()
	r.taken = append(r.taken, one)
	status, hang := http.StatusOK, r.hang
	if len(r.answers) > 0 {
		status, r.answers = r.answers[0], r.answers[1:]
	}
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-q.Context().Done():
		}
	}
	w.WriteHeader(status)
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.taken...)
}

// homeOnly lets receivers be reached that are on this machine.
var homeOnly = webhook.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// callbackSite is an installation that may call receivers in this process, with a worker and a client.
func callbackSite(t *testing.T) (*site, *client) {
	t.Helper()
	return callbackSiteOf(t, homeOnly, webhook.Config{Policy: homeOnly})
}

func callbackSiteOf(t *testing.T, door webhook.Policy, sender webhook.Config) (*site, *client) {
	t.Helper()
	out := webhook.NewClient(sender)
	t.Cleanup(out.Close)
	s := newSite(t, func(_ *inference.Config, d *jobs.Deps) { d.Webhooks = jobs.Webhooks{Client: out, Slots: 6} })
	s.receivers = door
	c := s.client()
	s.worker(map[string]int{"ai": 4, "webhook": 6})
	return s, c
}

// submit hands over a job that calls back, with more fields.
func (c *client) submit(kind, input, url, more string) (id string) {
	c.t.Helper()
	var made struct{ ID string }
	c.ask("POST", "/api/jobs", fmt.Sprintf(`{"kind":%q,"input":%s,"callback_url":%q%s}`, kind, input, url, more), &made)
	return made.ID
}

// completion hands over a job that succeeds.
func (c *client) completion(url string) (id string) {
	c.t.Helper()
	return c.submit("ai.completion", `{"prompt":"What is GST?","max_tokens":8}`, url, `,"metadata":{"order":"<7>"}`)
}

// status sends a request and gives the status of the answer.
func (c *client) status(method, path, body string) int {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// A shownDelivery is a callback as the API shows it.
type shownDelivery struct {
	ID, Status, Code string
	EventID          string `json:"event_id"`
	Run              int
	Attempts         []struct {
		StatusCode int `json:"status_code"`
		Code       string
	}
}

// deliveries are the callbacks of a job, newest first.
func (c *client) deliveries(job string) []shownDelivery {
	c.t.Helper()
	var view struct {
		Links struct {
			Callbacks string `json:"callback_deliveries"`
		}
	}
	c.ask("GET", "/api/jobs/"+job, "", &view)
	var page struct{ Data []shownDelivery }
	c.ask("GET", view.Links.Callbacks, "", &page)
	return page.Data
}

// delivered waits until the newest callback of a job is in a status.
func (s *site) delivered(c *client, job, status string) (d shownDelivery) {
	s.t.Helper()
	s.eventually("the callback has "+status, func() error {
		list := c.deliveries(job)
		if len(list) == 0 || list[0].Status != status {
			return fmt.Errorf("there are %+v", list)
		}
		d = list[0]
		return nil
	})
	return d
}

// takes waits until a receiver has got so many requests.
func (s *site) takes(r *receiver, n int) []received {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the receiver has %d callbacks", n), func() error {
		if got := len(r.got()); got < n {
			return fmt.Errorf("it has %d", got)
		}
		return nil
	})
	return r.got()
}

// However a job ends, its client is told so by a signed event with what came of it, as the API shows it; and again at
// the end of a retry by hand.
func TestCallbacksTellWhatCameOfJobs(t *testing.T) {
	t.Parallel()
	s, c := callbackSite(t)
	r := newReceiver(t)
	var secret struct{ Secret string }
	c.ask("GET", "/api/webhooks/callbacks", "", &secret)
	ends := map[string]string{
		c.completion(r.URL + "/done?token=t"):                                            store.Succeeded,
		c.submit("ai.contact_summary", `{"contact_id":"`+outbox.NewID()+`"}`, r.URL, ""): store.Failed,
	}
	cancelled := c.submit("ai.completion", `{"prompt":"x"}`, r.URL, `,"run_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"`)
	c.ask("POST", "/api/jobs/"+cancelled+"/cancel", "", nil)
	ends[cancelled] = store.Cancelled
	first := map[string]received{}
	for _, one := range s.takes(r, 3) {
		verified(t, secret.Secret, one)
		first[one.Data.JobID] = one
	}
	for id, status := range ends {
		j, got := s.job(id), first[id]
		if j.Status != status || got.Data.Status != status || got.Data.Omitted || got.Data.Links.Job != "/api/jobs/"+id ||
			!sameJSON(got.Data.Metadata, j.Metadata) || !sameJSON(got.Data.Output, j.Output) || !sameJSON(got.Data.Error, j.Error) {
			t.Errorf("of a job that %s with %s came %s", j.Status, j.Output, got.body)
		}
		if d := s.delivered(c, id, "succeeded"); d.EventID != got.header.Get("webhook-id") || d.EventID != got.ID {
			t.Errorf("the delivery is of event %s, the receiver was told %s", d.EventID, got.header.Get("webhook-id"))
		}
		if status != store.Failed {
			continue
		}
		c.ask("POST", "/api/jobs/"+id+"/retry", "", nil)
		again := s.takes(r, 4)[3]
		if verified(t, secret.Secret, again); again.Data.JobID != id || again.ID == got.ID || again.Data.Status != store.Failed {
			t.Errorf("the retry's end was told by %s", again.body)
		}
	}
	// Who changes the secret over has a day.
	var rotated struct{ Secret string }
	c.ask("POST", "/api/webhooks/callbacks/rotate", "{}", &rotated)
	c.completion(r.URL)
	last := s.takes(r, 5)[4]
	verified(t, secret.Secret, last)
	verified(t, rotated.Secret, last)
	if strings.Contains(s.logged.String(), "token=t") {
		t.Error("the log has the client's token")
	}
}

// verified wants a request to be signed as Standard Webhooks has it, by a verifier that is not ours.
func verified(t *testing.T, secret string, r received) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(r.body, r.header); err != nil {
		t.Errorf("%v: %v", r.header, err)
	}
	if err := wh.Verify(append(bytes.Clone(r.body), ' '), r.header); err == nil {
		t.Error("a body that was changed is taken")
	}
}

// sameJSON compares JSON.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if len(b) == 0 {
		b = json.RawMessage("null")
	}
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// A receiver that is in trouble is told again, with the same id; who asks for it needn't wait.
func TestCallbackThatFailsIsMadeAgain(t *testing.T) {
	t.Parallel()
	s, c := callbackSite(t)
	r := newReceiver(t, 500, 500)
	job := c.completion(r.URL + "/?token=t")
	nobody := httptest.NewServer(nil)
	nobody.Close()
	lost := c.completion(nobody.URL + "/?token=t")
	s.takes(r, 2) // the second comes by itself, seconds later
	var d shownDelivery
	s.eventually("both attempts are shown", func() error {
		if list := c.deliveries(job); len(list) == 1 && len(list[0].Attempts) == 2 {
			d = list[0]
			return nil
		}
		return errors.New("not yet")
	})
	if d.Status != "pending" || d.Attempts[0].StatusCode != 500 || d.Attempts[1].Code != "status" {
		t.Errorf("%+v", d)
	}
	c.ask("POST", "/api/webhooks/callbacks/deliveries/"+d.ID+"/replay", "", nil)
	got := s.takes(r, 3)
	if d := s.delivered(c, job, "succeeded"); d.Run != 2 {
		t.Errorf("succeeded in run %d", d.Run)
	}
	for _, one := range got {
		if one.ID != got[0].ID || one.header.Get("webhook-id") != got[0].ID || !bytes.Equal(one.body, got[0].body) {
			t.Errorf("told %s first, then %s", got[0].body, one.body)
		}
	}
	s.eventually("the attempt at nobody is shown", func() error {
		if list := c.deliveries(lost); len(list) != 1 || len(list[0].Attempts) == 0 || list[0].Attempts[0].Code != "connect" {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
	if strings.Contains(s.logged.String(), "token=t") {
		t.Errorf("the log has the client's token:\n%s", s.logged)
	}
}

// 410 ends that callback alone, and a host that hangs holds no other up.
func TestCallbacksDoNotHarmEachOther(t *testing.T) {
	t.Parallel()
	s, c := callbackSiteOf(t, homeOnly, webhook.Config{Policy: homeOnly, Timeout: patience})
	gone := newReceiver(t, 410)
	job := c.completion(gone.URL)
	if d := s.delivered(c, job, "failed"); d.Code != "gone" || len(d.Attempts) != 1 {
		t.Errorf("after 410: %+v", d)
	}
	s.delivered(c, c.completion(gone.URL), "succeeded")

	hangs, quick := newReceiver(t), newReceiver(t)
	hangs.hang = make(chan struct{})
	defer close(hangs.hang)
	for range 8 {
		c.completion(hangs.URL)
	}
	s.takes(hangs, 1)
	began := time.Now()
	for range 8 {
		c.completion(quick.URL)
	}
	s.takes(quick, 8)
	if took := time.Since(began); took > patience*3/4 { // for which those that hang are waited for
		t.Errorf("the quick one had to wait for %s", took)
	}
	if n := len(hangs.got()); n > 3 {
		t.Errorf("%d requests hang at once", n)
	}
}

// What an address that isn't public answers to is refused where it is named, and where a name leads to it at last.
func TestCallbacksReachPublicAddressesAlone(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	door := webhook.Policy{AllowHTTP: true}
	s, c := callbackSiteOf(t, door, webhook.Config{Policy: door, Resolver: leadsHome(t)})
	for _, url := range []string{r.URL, "http://localhost:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port} {
		if got := c.status("POST", "/api/jobs", fmt.Sprintf(`{"kind":"ai.completion","input":{"prompt":"x"},"callback_url":%q}`, url)); got != 422 {
			t.Errorf("%s: %d", url, got)
		}
	}
	job := c.completion("http://hooks.example.com:" + port)
	s.eventually("the attempt is shown", func() error {
		list := c.deliveries(job)
		if len(list) != 1 || len(list[0].Attempts) == 0 {
			return fmt.Errorf("there are %+v", list)
		}
		if got := list[0].Attempts[0].Code; got != "refused_address" {
			t.Fatalf("the attempt came to %s", got)
		}
		return nil
	})
	if got := r.got(); len(got) > 0 {
		t.Errorf("it was reached by %s", got[0].body)
	}
}

// Another organization neither reads callbacks nor asks for them again, and has a secret of its own.
func TestCallbacksBelongToTheirOrganization(t *testing.T) {
	t.Parallel()
	s, c := callbackSite(t)
	r := newReceiver(t, 410)
	job := c.completion(r.URL)
	d := s.delivered(c, job, "failed")
	stranger := &client{t, c.url, operatorKey}
	var made struct {
		APIKey struct{ Key string } `json:"api_key"`
	}
	stranger.ask("POST", "/api/organizations", `{"name":"Other","state":"KA"}`, &made)
	stranger.key = made.APIKey.Key
	var page struct{ Data []shownDelivery }
	if stranger.ask("GET", "/api/webhooks/callbacks/deliveries?job_id="+job, "", &page); len(page.Data) > 0 {
		t.Errorf("the list has %+v", page.Data)
	}
	for _, ask := range []string{"GET /api/jobs/" + job, "GET /api/webhooks/callbacks/deliveries/" + d.ID, "POST /api/webhooks/callbacks/deliveries/" + d.ID + "/replay"} {
		method, path, _ := strings.Cut(ask, " ")
		if got := stranger.status(method, path, ""); got != 404 {
			t.Errorf("%s: %d", ask, got)
		}
	}
	var mine, theirs struct{ Secret string }
	c.ask("GET", "/api/webhooks/callbacks", "", &mine)
	if stranger.ask("GET", "/api/webhooks/callbacks", "", &theirs); mine.Secret == theirs.Secret {
		t.Error("two organizations share a secret")
	}
}
