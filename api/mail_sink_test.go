package api

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
)

// shelf is a sink with what was put there.
type shelf []SinkMessage

func (s shelf) Messages() []SinkMessage { return slices.Clone(s) }

func (s shelf) Content(id string) ([]byte, error) {
	i := slices.IndexFunc(s, func(m SinkMessage) bool { return m.ID == id })
	switch {
	case i < 0:
		return nil, fs.ErrNotExist
	case s[i].Size == 0:
		return nil, errors.New("the disk is gone")
	}
	return []byte("Subject: x\r\n\r\n<script>alert(1)</script>"), nil
}

func TestSinkShowsItsMail(t *testing.T) {
	t.Parallel()
	var sink shelf
	for _, size := range []int{0, 7, 7} {
		sink = append(sink, SinkMessage{ID: outbox.NewID(), ReceivedAt: time.Now().UTC(), From: "me@example.com", To: []string{"a@example.in"}, Size: size, Subject: "Hello"})
	}
	slices.Reverse(sink)
	g := newRig(t, func(c *Config) { c.Sink = sink })
	_, key := g.organization(t)
	const path = "/api/system/mail-sink"
	var got []SinkMessage
	for cursor := ""; ; {
		var p page[SinkMessage]
		g.call(t, testAdminKey, "GET", path+"?limit=1&cursor="+cursor, "").want(200).json(&p)
		got = append(got, p.Data...)
		if !p.HasMore {
			break
		}
		cursor = *p.NextCursor
	}
	if len(got) != 3 || got[0].ID != sink[0].ID || got[2].ID != sink[2].ID || got[1].Subject != "Hello" || got[1].To[0] != "a@example.in" {
		t.Errorf("got %+v", got)
	}
	r := g.call(t, testAdminKey, "GET", path+"/"+sink[0].ID, "").want(200)
	h := r.header
	if !strings.HasPrefix(string(r.body), "Subject: x\r\n") || h.Get("Content-Type") != "message/rfc822" ||
		h.Get("Content-Disposition") != `attachment; filename="`+sink[0].ID+`.eml"` || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("got %v\n%s", h, r.body)
	}
	g.call(t, testAdminKey, "GET", path+"/"+outbox.NewID(), "").problem(404, "not_found")
	g.call(t, testAdminKey, "GET", path+"/..%2Fadmin-key", "").problem(404, "not_found")
	g.call(t, testAdminKey, "GET", path+"/"+sink[2].ID, "").problem(500, "internal")
	g.call(t, key, "GET", path, "").problem(403, "forbidden")
	g.call(t, key, "GET", path+"/"+sink[0].ID, "").problem(403, "forbidden")
}

func TestNoSink(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, path := range []string{"/api/system/mail-sink", "/api/system/mail-sink/" + outbox.NewID()} {
		if p := g.call(t, testAdminKey, "GET", path, "").problem(404, "not_found"); !strings.Contains(p.Detail, "SMTP_HOST") {
			t.Errorf("%s: %q", path, p.Detail)
		}
	}
}
