package api

import "testing"

// Who may change endpoints, and may not see what their headers hold, has nothing sent to a host of their own.
func TestWebhookHeadersStayWithTheirHost(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	made := g.webhook(t, key, `,"headers":{"Authorization":"Bearer s3cret","X-Team":"billing"}`)
	path := webhookPath(made.ID)
	for _, body := range []string{
		`{"url":"https://evil.example.com/in"}`,
		`{"url":"https://hooks.example.com:8443/in"}`,
		`{"url":"https://evil.example.com/in","headers":{"authorization":"***"}}`,
		`{"url":"https://evil.example.com/in","headers":{"X-Team":null}}`,
	} {
		g.call(t, key, "PATCH", path, body).problem(422, "validation_failed", "/headers/Authorization")
	}
	if v := g.call(t, key, "GET", path, "").webhook(); v.URL != "https://hooks.example.com/in" || v.Version != 1 {
		t.Errorf("half a change was made: %+v", v)
	}
	if v := g.call(t, key, "PATCH", path, `{"url":"https://hooks.example.com/other"}`).want(200).webhook(); v.Headers["Authorization"] != "***" {
		t.Errorf("another path of the host takes the headers away: %v", v.Headers)
	}
	g.call(t, key, "PATCH", path, `{"url":"https://new.example.com/in","headers":{"authorization":"Bearer new"}}`).want(200)
	if got := g.stored(t, made.ID, "headers->>'Authorization'"); got != "Bearer new" {
		t.Errorf("the new host is sent %q", got)
	}
	g.call(t, key, "PATCH", path, `{"url":"https://bare.example.com/in","headers":null}`).want(200)
}
