package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

// FuzzQuery asks every list for whatever comes. Nothing that a client writes behind the question mark is a
// fault of ours.
func FuzzQuery(f *testing.F) {
	g := newRig(f)
	_, key := g.organization(f)
	g.contact(f, key, aContact)
	lists := []string{"/api/contacts", "/api/deals", "/api/invoices", "/api/jobs", "/api/api-keys", "/api/dashboard/metrics", "/api/webhooks",
		"/api/webhooks/" + g.webhook(f, key, "").ID + "/deliveries"}
	for _, query := range []string{
		"", "q=asha&limit=1", "q=%25_%5C&status=active&type=lead&stage=prospect", "limit=0&cursor=AAAA", "q=+91%2098450&q=2",
		"q=%00", "q=%FF", "include=deals,invoices&include=x", "cursor=" + newCursor(outbox.NewID(), "contacts", "", "", "", ""),
		"limit=99999999999999999999", "q=%E0%B2%95+%F0%9F%98%80+a", "status=&q=%", ";", "q='%22%24%7B%7D%28%29",
		"status=sent&contact_id=" + outbox.NewID(), "contact_id=x", "stage=won&include=contact", "kind=mail.send&created_after=2026-01-01T00:00:00Z",
		"event_type=invoice.paid&event_id=" + outbox.NewID() + "&purpose=event&status=failed", "event_id=x&purpose=callback", "status=enabled",
		"created_after=0001-01-01T00:00:00Z&created_before=9999-12-31T23:59:59.999999999Z",
		"created_before=now", "status=won&status=lost",
	} {
		for i := range lists {
			f.Add(byte(i), query)
		}
	}
	f.Fuzz(func(t *testing.T, list byte, query string) {
		path := lists[int(list)%len(lists)] + "?" + query
		if u, err := url.Parse(path); err != nil || u.Fragment != "" || strings.ContainsAny(query, "# \r\n\t") {
			return
		}
		if r := g.call(t, key, "GET", path, ""); r.status >= 500 {
			t.Errorf("%q: %d %s", path, r.status, r.body)
		}
	})
}
