package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/webhook"
)

// Whatever is said of an endpoint, an answer is no fault of ours, what is taken is fit to be sent to, and what is read
// can be sent back.
func FuzzWebhookInput(f *testing.F) {
	g := newRig(f)
	_, key := g.organization(f)
	kept := "/api/webhooks/" + g.webhook(f, key, `,"headers":{"X-Api-Key":"k"}`).ID
	for _, body := range []string{
		`{"url":"https://hooks.example.com","events":["*"]}`, `{"url":"HTTPS://X.Example:443?a=b","events":["invoice.paid","contact.*"],"rate_limit":60000}`,
		`{"url":"https://[2606:4700::1111]:8443/%41","events":["webhook.disabled"],"headers":{"x-a":"1","X-B":null},"description":"ü"}`,
		`{"url":"https://0x7f.1/","events":["*"]}`, `{"url":"https://1.1.1.1@169.254.169.254/","events":["*"]}`, `{"url":"https://x.example/\u0000","events":["*"]}`,
		`{"url":"https://x.example","events":["*"],"headers":{"X-Api-Key":"***","":"x"}}`, `{"url":"https://x.example","events":["*"],"headers":{"A\r\nB":"x","C":"\r\n"}}`,
		`{"headers":{"X-Api-Key":"***","x-api-key":"***"}}`, `{"status":"disabled"}`, `{"status":"enabled","url":null}`, `{"events":[null]}`, `{"events":["*.paid","."]}`,
		`{"rate_limit":1e4}`, `{"rate_limit":-0}`, `{}`, `null`, `[]`, ``, `{"url":"https://x.example","url":"http://x","events":[],"events":["*"]}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, ask := range [][2]string{{"POST", "/api/webhooks"}, {"PATCH", kept}} {
			r := g.call(t, key, ask[0], ask[1], body)
			if r.status >= 500 || r.status >= 300 && r.status < 400 {
				t.Fatalf("%s: %d %s", body, r.status, r.body)
			}
			if r.status >= 300 {
				continue
			}
			v := r.webhook()
			checkWebhook(t, v)
			path := webhookPath(v.ID)
			if read := g.call(t, key, "GET", path, "").want(200); strings.Contains(string(read.body), "whsec_") && !strings.Contains(body, "whsec_") {
				t.Errorf("%s: a read shows the secret: %s", body, read.body)
			}
			back, err := json.Marshal(map[string]any{"url": v.URL, "events": v.Events, "headers": v.Headers, "description": v.Description,
				"rate_limit": v.RateLimit, "status": v.Status})
			if err != nil {
				t.Fatal(err)
			}
			if again := g.call(t, key, "PATCH", path, string(back)).want(200).webhook(); again.Version != v.Version {
				t.Errorf("%s: sent back, what was read is another: %+v", body, again)
			}
			if ask[0] == "POST" {
				g.call(t, key, "DELETE", path, "").want(204)
			}
		}
	})
}

func checkWebhook(t *testing.T, v WebhookView) {
	t.Helper()
	if normal, err := (webhook.Policy{}).CheckURL(v.URL); err != nil || normal != v.URL {
		t.Errorf("deliveries would go to %q: %q, %v", v.URL, normal, err)
	}
	if len(v.Events) == 0 || len(v.Headers) > maxWebhookHeaders || v.RateLimit != nil && *v.RateLimit < 1 {
		t.Errorf("taken is %+v", v)
	}
	for name, value := range v.Headers {
		if err := webhook.CheckHeader(name, value); err != nil || http.CanonicalHeaderKey(name) != name {
			t.Errorf("a header is %q: %q, %v", name, value, err)
		}
	}
	for _, pattern := range v.Events {
		if err := checkEventPattern(pattern); err != nil {
			t.Errorf("an event is %q, %v", pattern, err)
		}
	}
}
