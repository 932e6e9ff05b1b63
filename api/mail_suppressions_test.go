package api

import (
	"bytes"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
)

func (g *rig) suppressions(t testing.TB, key, query string) (list []string) {
	t.Helper()
	var p page[suppressionView]
	g.call(t, key, "GET", "/api/mail/suppressions?"+query, "").want(200).json(&p)
	for _, v := range p.Data {
		list = append(list, v.Address+" "+v.Stream+" "+v.Reason)
	}
	return list
}

func TestSuppressions(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := newRig(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	org, key := g.organization(t)
	const path = "/api/mail/suppressions"
	var first, again suppressionView
	g.call(t, key, "POST", path, `{"address":" Asha@Example.in ","detail":"asked by phone"}`).want(201).json(&first)
	if first.Address != "asha@example.in" || first.Stream != "*" || first.Reason != "manual" || *first.Detail != "asked by phone" || first.ExpiresAt != nil {
		t.Errorf("got %+v", first)
	}
	// The same again, until tomorrow: what is there is what was said last.
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	g.call(t, key, "POST", path, `{"address":"asha@example.in","expires_at":"`+until.Format(time.RFC3339)+`"}`).want(200).json(&again)
	if again.ID != first.ID || again.Version != 2 || again.ExpiresAt == nil || !again.ExpiresAt.Equal(until) ||
		again.Detail == nil || *again.Detail != "asked by phone" {
		t.Errorf("got %+v", again)
	}
	g.call(t, key, "POST", path, `{"address":"asha@example.in","detail":"asked by letter"}`).want(200).json(&again)
	if again.ExpiresAt != nil || again.Detail == nil || *again.Detail != "asked by letter" {
		t.Errorf("got %+v", again)
	}
	g.call(t, key, "POST", path, `{"address":"asha@example.in","expires_at":"`+until.Format(time.RFC3339)+`"}`).want(200)
	g.call(t, key, "POST", path, `{"address":"asha@example.in","stream":"news","reason":"manual"}`, "Idempotency-Key", "k").want(201)
	if r := g.call(t, key, "POST", path, `{"address":"asha@example.in","stream":"news","reason":"manual"}`, "Idempotency-Key", "k").want(201); r.header.Get("Idempotency-Replayed") != "true" {
		t.Error("the same request with the same key is carried out again")
	}
	// A complaint isn't made lighter by hand.
	g.execute(t, `INSERT INTO mail_suppressions (organization_id, id, address, stream, reason) VALUES ($1, $2, 'cross@example.in', '*', 'complaint')`, org, outbox.NewID())
	var cross suppressionView
	g.call(t, key, "POST", path, `{"address":"cross@example.in","detail":"x","expires_at":"`+until.Format(time.RFC3339)+`"}`).want(200).json(&cross)
	if cross.Reason != "complaint" || cross.Detail != nil || cross.ExpiresAt != nil || cross.Version != 1 {
		t.Errorf("got %+v", cross)
	}
	g.execute(t, `INSERT INTO mail_suppressions (organization_id, id, address, stream, reason, expires_at)
		VALUES ($1, $2, 'late@example.in', '*', 'soft_bounce', now() - interval '1 second')`, org, outbox.NewID())

	for query, want := range map[string][]string{
		"":                        {"cross@example.in * complaint", "asha@example.in news manual", "asha@example.in * manual"},
		"address=ASHA@example.in": {"asha@example.in news manual", "asha@example.in * manual"},
		"stream=news":             {"asha@example.in news manual"},
		"stream=*":                {"cross@example.in * complaint", "asha@example.in * manual"},
		"reason=complaint":        {"cross@example.in * complaint"},
		"address=late@example.in": nil,
	} {
		if got := g.suppressions(t, key, query); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	g.call(t, key, "DELETE", path+"?address=asha@example.in&stream=reminders", "").problem(404, "not_found")
	g.call(t, key, "DELETE", path+"?address=Asha@example.in&stream=news", "").want(204)
	g.call(t, key, "DELETE", path+"/"+first.ID, "").want(204)
	g.call(t, key, "DELETE", path+"/"+first.ID, "").problem(404, "not_found")
	g.call(t, key, "DELETE", path+"?address=cross@example.in", "").want(204)
	if got := g.suppressions(t, key, ""); got != nil {
		t.Errorf("left are %q", got)
	}
	if told := log.String(); strings.Count(told, "suppression taken off") != 3 || !strings.Contains(told, "reason=complaint") || strings.Contains(told, "@") {
		t.Errorf("the log says\n%s", told)
	}
	g.call(t, key, "POST", path, `{"address":"late@example.in"}`).want(201)
}

func TestSuppressionsAreAskedForWrongly(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	const path = "/api/mail/suppressions"
	for body, pointer := range map[string]string{
		`{}`:                         "/address",
		`{"address":"nobody"}`:       "/address",
		`{"address":"A <a@b.in>"}`:   "/address",
		`{"address":"a@b.in\nc: d"}`: "/address",
		`{"address":"a@b.in","reason":"complaint"}`:                         "/reason",
		`{"address":"a@b.in","stream":"News"}`:                              "/stream",
		`{"address":"a@b.in","stream":"**"}`:                                "/stream",
		`{"address":"a@b.in","expires_at":"2020-01-01T00:00:00Z"}`:          "/expires_at",
		`{"address":"a@b.in","detail":"` + strings.Repeat("x", 1001) + `"}`: "/detail",
		`{"address":"a@b.in","to":"x"}`:                                     "/to",
	} {
		g.call(t, key, "POST", path, body).problem(422, "validation_failed", pointer)
	}
	for query, pointer := range map[string]string{"": "/query/address", "address=nobody": "/query/address", "address=a@b.in&stream=a%20b": "/query/stream",
		"address=" + url.QueryEscape("x\r\ny@b.in"): "/query/address"} {
		g.call(t, key, "DELETE", path+"?"+query, "").problem(422, "validation_failed", pointer)
	}
	for query, pointer := range map[string]string{"reason=spam": "/query/reason", "stream=A": "/query/stream", "address=nobody": "/query/address"} {
		g.call(t, key, "GET", path+"?"+query, "").problem(422, "validation_failed", pointer)
	}
	reader := g.key(t, key, "read")
	g.call(t, reader, "POST", path, `{"address":"a@b.in"}`).problem(403, "forbidden")
	g.call(t, reader, "DELETE", path+"?address=a@b.in", "").problem(403, "forbidden")
	if n := g.count(t, `SELECT count(*) FROM mail_suppressions`); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// Addresses are read as the recipients of mails are, where the wiring says how.
func TestAddressesOfSuppressionsAreThoseOfMails(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.MailAddress = func(text string) (string, error) {
			return strings.Replace(text, "bücher.example", "xn--bcher-kva.example", 1), nil
		}
	})
	_, key := g.organization(t)
	g.call(t, key, "POST", "/api/mail/suppressions", `{"address":"a@bücher.example"}`).want(201)
	want := []string{"a@xn--bcher-kva.example * manual"}
	if got := g.suppressions(t, key, "address="+url.QueryEscape("a@bücher.example")); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	g.call(t, key, "DELETE", "/api/mail/suppressions?address="+url.QueryEscape("a@bücher.example"), "").want(204)
}
