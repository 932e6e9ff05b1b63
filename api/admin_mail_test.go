package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

func (g *rig) allMails(t testing.TB, query string) (ids []string) {
	t.Helper()
	var v operator.MailList
	g.call(t, testAdminKey, "GET", "/api/admin/mail"+query, "").want(200).json(&v)
	for _, m := range v.Data {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestAdminListsMailsOfAll(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, client := g.organization(t)
	other, _ := g.organization(t)
	template := "invoice"
	first := g.mailed(t, org, func(m *store.Mail) { m.Template = &template }, "Asha@example.in", "b@other.example")
	second := g.mailed(t, other, nil, "asha@Example.in")
	third := g.mailed(t, other, func(m *store.Mail) { m.Stream = "news" }, "c@sub.example.in")
	g.recipientIs(t, other, second, 1, "failed")
	g.execute(t, `UPDATE mail_recipients SET queue_id = '4F7A1', reply = 'secret words', code = 250 WHERE message_id = $1`, first)
	for query, want := range map[string][]string{
		"": {third, second, first}, "?state=failed": {second}, "?organization=" + org: {first},
		"?recipient=ASHA%40example.in": {second, first}, "?recipient=%40EXAMPLE.in": {second, first}, "?recipient=sub.example.in": {third},
		"?recipient=nobody%40example.in": nil, "?template=invoice": {first}, "?template=-": {third, second}, "?stream=news": {third},
		"?queue_id=4F7A1": {first}, "?queue_id=4F7A": nil, "?message_id=%3C" + second + "%40mail.example%3E": {second}, "?job=" + third: {third},
		"?created_before=2020-01-01T00:00:00Z": nil, "?created_after=2020-01-01T00:00:00Z&recipient=example.in": {second, first},
	} {
		if got := g.allMails(t, query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	for query, pointer := range map[string]string{"organization=x": "/query/organization", "recipient=a%40": "/query/recipient",
		"message_id=x": "/query/message_id", "job=" + first + "&message_id=" + second: "/query/"} {
		if p := g.call(t, testAdminKey, "GET", "/api/admin/mail?"+query, "").want(422); !strings.Contains(string(p.body), pointer) {
			t.Errorf("%s: %s", query, p.body)
		}
	}
	var v, rest operator.MailList
	r := g.call(t, testAdminKey, "GET", "/api/admin/mail?limit=2", "").want(200)
	r.json(&v)
	g.call(t, testAdminKey, "GET", "/api/admin/mail?limit=2&cursor="+*v.NextCursor, "").want(200).json(&rest)
	if len(v.Data) != 2 || len(rest.Data) != 1 || rest.Data[0].ID != first || len(rest.Data[0].Recipients) != 2 || *rest.Data[0].Organization == "" {
		t.Errorf("pages %+v, %+v", v, rest)
	}
	if strings.Contains(string(r.body), "secret words") || strings.Contains(string(r.body), `"subject"`) {
		t.Errorf("the list says what is hidden: %s", r.body)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "GET", "/api/admin/mail", "").want(200)
	g.call(t, client, "GET", "/api/admin/mail", "").problem(403, "forbidden")
}

// A domain to which very many write is looked for in another way.
func TestAdminFindsMailsOfABusyDomain(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	id := g.mailed(t, org, nil, "first@busy.example")
	g.execute(t, `INSERT INTO mail_recipients (organization_id, message_id, position, field, address)
		SELECT $1, $2, n, 'bcc', 'r' || n || '@busy.example' FROM generate_series(2, 2100) n`, org, id)
	g.mailed(t, org, nil, "x@notbusy.example")
	if got := g.allMails(t, "?recipient=@busy.example"); !slices.Equal(got, []string{id}) {
		t.Errorf("got %v", got)
	}
}

func TestAdminReadsAMailAndReveals(t *testing.T) {
	t.Parallel()
	var asked json.RawMessage
	g := newRig(t, func(c *Config) {
		c.WriteMail = func(_ context.Context, organizationID string, input json.RawMessage) (WrittenMail, error) {
			asked = input
			return WrittenMail{Subject: "S", Text: "T", HTML: "<script>H</script>", ReplyTo: "me@example.in",
				Attachments: []operator.MailAttachment{{Filename: "a.pdf"}}}, nil
		}
	})
	org, _ := g.organization(t)
	id := g.mailed(t, org, nil, "asha@example.in")
	g.execute(t, `UPDATE mail_messages SET subject = 'Secret subject' WHERE id = $1`, id)
	g.execute(t, `UPDATE mail_recipients SET state = 'accepted', code = 250, reply = 'secret words', queue_id = 'Q1' WHERE message_id = $1`, id)
	g.execute(t, `INSERT INTO mail_events (organization_id, id, message_id, position, type, detail) VALUES ($1, gen_random_uuid(), $2, 1, 'accepted',
		'{"code": 250, "queue_id": "Q1", "reply": "secret words", "diagnostic": "secret words"}')`, org, id)
	path := "/api/admin/mail/" + id
	r := g.call(t, testAdminKey, "GET", path, "").want(200)
	var v operator.MailTrail
	r.json(&v)
	if strings.Contains(string(r.body), "ecret") {
		t.Errorf("what is hidden is shown: %s", r.body)
	}
	if len(v.People) != 1 || *v.People[0].Code != 250 || *v.People[0].QueueID != "Q1" || len(v.Events) != 2 || !strings.Contains(string(v.Events[1].Detail), "Q1") {
		t.Errorf("got %+v", v)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "GET", path, "").want(200)
	g.call(t, watcher, "POST", path+"/reveal", "").problem(403, "forbidden")
	if asked != nil {
		t.Error("who may not reveal had it written")
	}
	var c operator.MailContent
	g.call(t, testAdminKey, "POST", path+"/reveal", "").want(200).json(&c)
	if *c.Subject != "Secret subject" || *c.HTML != "<script>H</script>" || c.Replies[0].Reply != "secret words" || len(c.Attachments) != 1 ||
		!strings.Contains(string(c.Events[1].Detail), "secret words") || string(asked) != "{}" {
		t.Errorf("revealed is %+v of %s", c, asked)
	}
	note := g.audit(t, "?action=mail.reveal&outcome=done")
	if len(note) != 1 || note[0].TargetID != id || *note[0].OrganizationID != org || strings.Contains(string(note[0].After), "ecret") {
		t.Errorf("the audit log says %+v", note)
	}
	// Without its job nobody knows what it said.
	g.execute(t, `DELETE FROM jobs WHERE id = $1`, id)
	g.call(t, testAdminKey, "POST", path+"/reveal", "").want(200).json(&c)
	if c.Note == nil || !strings.Contains(*c.Note, "no longer kept") {
		t.Errorf("got %+v", c)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/mail/"+outbox.NewID(), "").problem(404, "not_found")
	g.call(t, testAdminKey, "POST", "/api/admin/mail/"+outbox.NewID()+"/reveal", "").problem(404, "not_found")
}

func TestAdminSettlesAMail(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	id := g.mailed(t, org, nil, "a@example.in")
	path := "/api/admin/mail/" + id + "/settle"
	g.call(t, testAdminKey, "POST", path, `{"outcome":"failed"}`).problem(409, "not_unknown")
	g.recipientIs(t, org, id, 1, "unknown")
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", path, `{"outcome":"failed"}`).problem(403, "forbidden")
	g.call(t, testAdminKey, "POST", path, `{"outcome":"lost"}`).problem(422, "validation_failed", "/outcome")
	var v operator.MailTrail
	g.call(t, testAdminKey, "POST", path, `{"outcome":"accepted"}`).want(200).json(&v)
	if v.State != "accepted" || v.People[0].AcceptedAt == nil {
		t.Errorf("got %+v", v)
	}
	found := false
	for _, f := range g.facts(t, id) {
		found = found || f.typ == "mail.accepted"
	}
	if !found {
		t.Error("nobody was told")
	}
	note := g.audit(t, "?action=mail.settle&outcome=done")
	if len(note) != 1 || !strings.Contains(string(note[0].Before), `"unknown"`) || !strings.Contains(string(note[0].After), `"accepted"`) || *note[0].OrganizationID != org {
		t.Errorf("the audit log says %+v", note)
	}
	again := g.mailed(t, org, nil, "a@example.in")
	g.recipientIs(t, org, again, 1, "unknown")
	g.execute(t, `UPDATE jobs SET status = 'failed', finished_at = now(), error = '{"code":"x","title":"x","status":500,"detail":"x"}' WHERE id = $1`, again)
	g.call(t, testAdminKey, "POST", "/api/admin/mail/"+again+"/settle", `{"recipient":"A@example.in","outcome":"resend"}`).want(200)
	if n := g.count(t, fmt.Sprintf(`SELECT count(*) FROM jobs WHERE id = '%s' AND run = 2 AND status = 'queued' AND organization_id = '%s'`, again, org)); n != 1 {
		t.Error("the job has no new run")
	}
}

func TestAdminSuppressions(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, client := g.organization(t)
	other, _ := g.organization(t)
	const path = "/api/admin/mail/suppressions"
	put := func(body string) (v operator.Suppression) {
		g.call(t, testAdminKey, "POST", path, body).want(200).json(&v)
		return v
	}
	one := put(`{"organization_id":"` + org + `","address":"Asha@example.in","detail":"asked by phone"}`)
	two := put(`{"organization_id":"` + other + `","address":"b@other.example","stream":"news","expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	if one.Address != "asha@example.in" || one.Reason != "manual" || *one.Organization == "" || two.ExpiresAt == nil {
		t.Errorf("got %+v and %+v", one, two)
	}
	if again := put(`{"organization_id":"` + org + `","address":"asha@example.in"}`); again.ID != one.ID {
		t.Errorf("it is there twice: %+v", again)
	}
	for query, want := range map[string]string{"": two.ID + one.ID, "?organization=" + org: one.ID, "?recipient=asha@EXAMPLE.in": one.ID,
		"?recipient=@other.example": two.ID, "?stream=news": two.ID, "?reason=manual": two.ID + one.ID, "?reason=complaint": "", "?recipient=ample.in": ""} {
		var v operator.SuppressionList
		g.call(t, testAdminKey, "GET", path+query, "").want(200).json(&v)
		got := ""
		for _, n := range v.Data {
			got += n.ID
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	g.call(t, testAdminKey, "POST", path, `{"organization_id":"`+outbox.NewID()+`","address":"a@example.in"}`).problem(422, "validation_failed", "/organization_id")
	g.call(t, testAdminKey, "POST", path, `{"organization_id":"`+org+`","address":"nobody"}`).problem(422, "validation_failed", "/address")
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", path, `{"organization_id":"`+org+`","address":"c@example.in"}`).problem(403, "forbidden")
	g.call(t, watcher, "DELETE", path+"/"+one.ID, "").problem(403, "forbidden")
	g.call(t, client, "DELETE", path+"/"+one.ID, "").problem(403, "forbidden")
	g.call(t, testAdminKey, "DELETE", path+"/"+one.ID, "").want(204)
	g.call(t, testAdminKey, "DELETE", path+"/"+one.ID, "").problem(404, "not_found")
	removed := g.audit(t, "?action=suppression.remove&outcome=done")
	if len(removed) != 1 || *removed[0].OrganizationID != org || strings.Contains(string(removed[0].Before), "asha") || !strings.Contains(string(removed[0].Before), "manual") {
		t.Errorf("the audit log says %+v", removed)
	}
	added := g.audit(t, "?action=suppression.add&outcome=done")
	if len(added) != 3 {
		t.Fatalf("the audit log says %+v", added)
	}
	again, first := added[0], added[2]
	if string(first.Before) != "null" || !strings.Contains(string(first.After), "manual") || !strings.Contains(string(again.Before), "manual") || strings.Contains(string(again.After), "asha") {
		t.Errorf("the audit log says %s, %s, then %s, %s", first.Before, first.After, again.Before, again.After)
	}
}

func TestAdminMailTemplates(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var list operator.MailTemplates
	g.call(t, testAdminKey, "GET", "/api/admin/mail/templates", "").want(200).json(&list)
	if len(list.Data) == 0 {
		t.Fatal("there are no templates")
	}
	for _, one := range list.Data {
		var v operator.MailSample
		g.call(t, testAdminKey, "GET", "/api/admin/mail/templates/"+one.Name, "").want(200).json(&v)
		if v.Subject != one.Subject || v.HTML == nil && v.Text == nil || len(v.Data) < 3 {
			t.Errorf("%s is %+v", one.Name, v)
		}
	}
	g.call(t, testAdminKey, "GET", "/api/admin/mail/templates/none", "").problem(404, "not_found")
}

func TestAdminSink(t *testing.T) {
	t.Parallel()
	id := outbox.NewID()
	g := newRig(t, func(c *Config) {
		c.Sink = shelf{{ID: id, ReceivedAt: time.Now().UTC(), From: "me@example.com", To: []string{"a@example.in"}, Size: 7, Subject: "Hello"}}
	})
	r := g.call(t, testAdminKey, "GET", "/api/admin/mail/sink", "").want(200)
	if strings.Contains(string(r.body), "Hello") || !strings.Contains(string(r.body), id) {
		t.Errorf("the list is %s", r.body)
	}
	var c operator.MailContent
	g.call(t, testAdminKey, "POST", "/api/admin/mail/sink/"+id+"/reveal", "").want(200).json(&c)
	if *c.Subject != "x" || len(g.audit(t, "?action=sink.reveal&outcome=done")) != 1 {
		t.Errorf("got %+v", c)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", "/api/admin/mail/sink/"+id+"/reveal", "").problem(403, "forbidden")
	g.call(t, testAdminKey, "POST", "/api/admin/mail/sink/"+outbox.NewID()+"/reveal", "").problem(404, "not_found")
	newRig(t).call(t, testAdminKey, "GET", "/api/admin/mail/sink", "").problem(404, "not_found")
}

func TestMailsAreReadAsTheyCame(t *testing.T) {
	t.Parallel()
	v := contentOf([]byte("Subject: =?utf-8?q?H=C3=A9llo?=\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+\r\n--b--\r\n" +
		"--a\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"i.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--a--\r\n"))
	if *v.Subject != "Héllo" || strings.TrimSpace(*v.Text) != "café" || *v.HTML != "<b>" || len(v.Attachments) != 1 || v.Attachments[0].Filename != "i.pdf" || v.Attachments[0].Bytes != 3 {
		t.Errorf("got %+v, %q, %q", v, *v.Text, *v.HTML)
	}
	if v := contentOf([]byte("\xff no mail")); v.Note == nil || v.Text == nil {
		t.Errorf("got %+v", v)
	}
	deep := "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
	contentOf([]byte(deep + strings.Repeat("--a\r\n"+deep, 500)))
}
