package api

import (
	"errors"
	"testing"
)

func TestCheckMatch(t *testing.T) {
	t.Parallel()
	const changed, weak = "it has changed since you read it; read it again", "a weak ETag never matches in If-Match; send the one that you read, without W/"
	for header, want := range map[string]string{
		"": "", "*": "", `"7"`: "", `"1", "7"`: "", `"1" ,,	"7" , `: "", `,"7"`: "", `W/"7","7"`: "", `"a,b","7"`: "", `"","7"`: "",
		`"8"`: changed, `"a,\"7"`: "invalid", `"1", "2"`: changed, `","7`: "invalid", `""`: changed, `"ü"`: changed, "\"\xff\"": changed,
		`W/"7"`: weak, `W/"8"`: weak, `"1", W/"7"`: weak,
		`7`: "invalid", `"7`: "invalid", `7"`: "invalid", `w/"7"`: "invalid", `"1" "7"`: "invalid", `"1";"7"`: "invalid",
		`*, "7"`: "invalid", `"7", *`: "invalid", `'7'`: "invalid", `"a b"`: "invalid", "W/": "invalid",
	} {
		err := checkMatch(header, 7)
		var refused *Error
		switch {
		case want == "" && err == nil:
		case !errors.As(err, &refused):
			t.Errorf("%q: %v, want %q", header, err, want)
		case want == "invalid" && refused.Code == "invalid_header" && refused.Detail[:8] == "If-Match":
		case refused.Code != "precondition_failed" || refused.Detail != want:
			t.Errorf("%q: %v, want %q", header, err, want)
		}
	}
}

// What can't be an ETag is told of wherever one may come.
func TestIfMatchOverHTTP(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	var d DealView
	g.call(t, key, "POST", "/api/deals", `{"contact_id":"`+contact+`","title":"x","value":1}`).want(201).json(&d)
	draft, sent := g.draft(t, key, contact), g.sent(t, key, contact)
	hook := "/api/webhooks/" + g.webhook(t, key, "").ID
	template := "/api/mail/templates/" + belongings["/api/mail/templates/"](g, t, key)
	for _, ask := range [][3]string{
		{"PATCH", template, `{}`}, {"DELETE", template, ""},
		{"PATCH", hook, `{}`}, {"DELETE", hook, ""}, {"POST", hook + "/rotate", `{}`},
		{"PATCH", "/api/organization", `{}`}, {"PATCH", "/api/contacts/" + contact, `{}`}, {"PATCH", "/api/deals/" + d.ID, `{}`},
		{"PATCH", "/api/invoices/" + draft.ID, `{}`}, {"POST", "/api/invoices/" + draft.ID + "/send", ""},
		{"POST", "/api/invoices/" + sent.ID + "/pay", `{"amount":1}`}, {"POST", "/api/invoices/" + sent.ID + "/cancel", ""},
		{"DELETE", "/api/contacts/" + contact, ""}, {"DELETE", "/api/deals/" + d.ID, ""}, {"DELETE", "/api/invoices/" + draft.ID, ""},
	} {
		g.call(t, key, ask[0], ask[1], ask[2], "If-Match", "1").problem(400, "invalid_header")
		g.call(t, key, ask[0], ask[1], ask[2], "If-Match", `W/"1"`).problem(412, "precondition_failed")
	}
}

// What is made has the ETag that the next change needs, also when the answer is told again.
func TestETagOfWhatIsMade(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	for path, body := range map[string]string{
		"/api/contacts": `{"name":"Asha"}`,
		"/api/deals":    `{"contact_id":"` + contact + `","title":"x","value":1}`,
		"/api/invoices": invoiceBody(contact, ""),

		"/api/webhooks":       `{"url":"https://hooks.example.com","events":["*"]}`,
		"/api/mail/templates": `{"name":"x","subject":"x","text":"x"}`,
	} {
		first := g.call(t, key, "POST", path, body, "Idempotency-Key", "k").want(201)
		again := g.call(t, key, "POST", path, body, "Idempotency-Key", "k").want(201)
		tag := first.header.Get("ETag")
		read := g.call(t, key, "GET", first.header.Get("Location"), "").want(200)
		if tag == "" || again.header.Get("ETag") != tag || read.header.Get("ETag") != tag || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: made %q, again %q, read %q", path, tag, again.header.Get("ETag"), read.header.Get("ETag"))
		}
		g.call(t, key, "PATCH", first.header.Get("Location"), `{}`, "If-Match", tag).want(200)
	}
}
