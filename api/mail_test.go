package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// mailed makes the job of a mail with its rows, as submitting it does: to the first of the addresses, bcc to others.
func (g *rig) mailed(t testing.TB, org string, change func(*store.Mail), addresses ...string) (id string) {
	t.Helper()
	id = outbox.NewID()
	m := store.Mail{OrganizationID: org, ID: id, Stream: "transactional", OnUnknown: store.UnknownHold}
	if change != nil {
		change(&m)
	}
	b := store.BatchAs(org)
	store.QueueJob(b, store.Job{OrganizationID: org, ID: id, Kind: "mail.send", Queue: "mail", Priority: 2, MaxAttempts: 5,
		Input: json.RawMessage("{}"), Metadata: json.RawMessage("{}"), EventID: outbox.NewID(), RunAt: time.Now(), CreatedAt: time.Now()})
	var recipients []store.MailRecipient
	for i, a := range addresses {
		recipients = append(recipients, store.MailRecipient{Field: []string{"to", "bcc"}[min(i, 1)], Address: a})
	}
	store.QueueMail(b, m, recipients)
	if err := g.DB.Send(context.WithoutCancel(t.Context()), b); err != nil {
		t.Fatal(err)
	}
	return id
}

// recipientIs gives a recipient of a mail a state, and the mail the one that follows.
func (g *rig) recipientIs(t testing.TB, org, id string, position int, state string) {
	t.Helper()
	err := g.system.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE mail_recipients SET state = $4, attempts = 1, unknown_at = CASE WHEN $4 = 'unknown' THEN now() END
			WHERE organization_id = $1 AND message_id = $2 AND position = $3`, org, id, position, state)
		if err == nil {
			_, err = store.TouchMail(t.Context(), tx, org, id)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (g *rig) mail(t testing.TB, key, id string) (v mailDetail) {
	t.Helper()
	g.call(t, key, "GET", "/api/mail/"+id, "").want(200).json(&v)
	return v
}

func TestMailIsShownWithItsTimeline(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.mailed(t, org, nil, "asha@example.in", "Hidden@example.in")
	first := g.call(t, key, "GET", "/api/mail/"+id, "").want(200)
	g.call(t, key, "GET", "/api/mail/"+id, "", "If-None-Match", first.header.Get("ETag")).want(304)

	// What a worker does with it; subject and size come without a new version.
	if err := g.system.DescribeMail(t.Context(), org, id, "Hello", 1234, time.Now()); err != nil {
		t.Fatal(err)
	}
	described := g.call(t, key, "GET", "/api/mail/"+id, "", "If-None-Match", first.header.Get("ETag")).want(200)
	err := g.system.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := store.SettleSending(t.Context(), tx, store.Sent{OrganizationID: org, MailID: id, Position: 2, Claim: outbox.NewID(), State: store.MailDeferred,
			Code: 450, Status: "4.2.0", Reply: "later"})
		if err == nil {
			_, err = store.AppendMailEvent(t.Context(), tx, org, id, store.MailEvent{ID: outbox.NewID(), Position: 2, Type: "deferred",
				Detail: map[string]any{"code": 450}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	g.execute(t, `UPDATE jobs SET status = 'cancelled', finished_at = now() WHERE id = $1`, id)

	var v mailDetail
	r := g.call(t, key, "GET", "/api/mail/"+id, "", "If-None-Match", described.header.Get("ETag")).want(200).json(&v)
	if v.State != "cancelled" || *v.Subject != "Hello" || *v.Size != 1234 || *v.Links.Job != "/api/jobs/"+id || v.Links.Self != "/api/mail/"+id {
		t.Errorf("got %s", r.body)
	}
	hidden := v.Recipients[1]
	if len(v.Recipients) != 2 || hidden.Address != "Hidden@example.in" || hidden.Field != "bcc" || *hidden.Code != 450 || *hidden.Status != "4.2.0" ||
		*hidden.Reply != "later" || hidden.Attempts != 1 || hidden.State != "cancelled" {
		t.Errorf("got %s", r.body)
	}
	var lines []string
	for _, e := range v.Events {
		to := "-"
		if e.Recipient != nil {
			to = *e.Recipient
		}
		lines = append(lines, e.Type+" "+to+" "+string(e.Detail))
	}
	want := []string{"queued - {}", `deferred Hidden@example.in {"code": 450}`, "cancelled - {}"}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], `":4`, `": 4`)
	}
	if !slices.Equal(lines, want) {
		t.Errorf("timeline %q, want %q", lines, want)
	}
	if cc := r.header.Get("Cache-Control"); strings.Contains(cc, "public") || r.header.Get("X-Cache") != "" {
		t.Errorf("mails are cached: %q, %q", cc, r.header.Get("X-Cache"))
	}
	g.call(t, g.key(t, key, "jobs"), "GET", "/api/mail/"+id, "").problem(403, "forbidden")
	g.call(t, key, "GET", "/api/mail/nonsense", "").problem(404, "not_found")
	g.call(t, key, "GET", "/api/mail/"+outbox.NewID(), "").problem(404, "not_found")
}

// Who cancels a mail that is under way reads what that ended, and of whom nobody knows.
func TestTimelineOfMailThatIsCutOff(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.mailed(t, org, nil, "a@example.in", "b@example.in", "c@example.in")
	g.recipientIs(t, org, id, 1, "accepted")
	g.execute(t, `UPDATE mail_recipients SET state = 'sending', claim = gen_random_uuid(), sending_at = now(), attempts = 1 WHERE message_id = $1 AND position = 2`, id)
	cancel := func(want string) {
		t.Helper()
		g.execute(t, `UPDATE jobs SET status = 'cancelled', finished_at = now() WHERE id = $1`, id)
		var got []string
		v := g.mail(t, key, id)
		for _, e := range v.Events {
			if got = append(got, e.Type); e.Recipient != nil {
				got = append(got, *e.Recipient)
			}
		}
		if strings.Join(got, " ") != want || v.Recipients[1].State != "unknown" || v.Recipients[1].NextAttemptAt != nil || v.Recipients[2].State != "cancelled" {
			t.Errorf("got %q and %+v, want %q", got, v.Recipients, want)
		}
	}
	cancel("queued cancelled unknown b@example.in")
	g.settle(t, key, id, `{"outcome":"resend"}`).want(200)
	cancel("queued cancelled unknown b@example.in settled b@example.in cancelled")
}

func TestMailsAreListed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, _ := g.organization(t)
	contact := g.contact(t, key, aContact).ID
	invoice, template := outbox.NewID(), "reminder"
	begun := time.Now().UTC()
	plain := g.mailed(t, org, nil, "a@example.in", "b@example.in")
	about := g.mailed(t, org, func(m *store.Mail) {
		m.Stream, m.Template, m.ContactID, m.InvoiceID = "reminders", &template, &contact, &invoice
	}, "b@example.in")
	third := g.mailed(t, org, nil, "A@Example.in")
	g.mailed(t, other, nil, "a@example.in")
	g.recipientIs(t, org, plain, 1, "accepted")
	g.recipientIs(t, org, plain, 2, "failed")

	for query, want := range map[string][]string{
		"":                                       {third, about, plain},
		"state=queued":                           {third, about},
		"state=accepted":                         {plain},
		"stream=reminders":                       {about},
		"stream=transactional":                   {third, plain},
		"template=reminder":                      {about},
		"template=invoice":                       {},
		"contact_id=" + contact:                  {about},
		"invoice_id=" + invoice:                  {about},
		"invoice_id=" + strings.ToUpper(invoice): {about},
		"address=a@example.in":                   {third, plain},
		"address=B@EXAMPLE.IN":                   {about, plain},
		"address=b@example.in&stream=reminders":  {about},
		"address=b@example.in&state=accepted":    {plain},
		"address=nobody@example.in":              {},
		"created_after=" + begun.Add(-time.Minute).Format(time.RFC3339) + "&address=b@example.in":  {about, plain},
		"created_before=" + begun.Add(-time.Minute).Format(time.RFC3339) + "&address=b@example.in": {},
		"created_before=" + begun.Add(-time.Minute).Format(time.RFC3339):                           {},
	} {
		// One by one, so that each page is gone through.
		var got []string
		for cursor := ""; ; {
			var p page[mailView]
			g.call(t, key, "GET", "/api/mail?limit=1&"+query+"&cursor="+cursor, "").want(200).json(&p)
			for _, m := range p.Data {
				got = append(got, m.ID)
			}
			if !p.HasMore {
				break
			}
			cursor = *p.NextCursor
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	var p page[mailView]
	g.call(t, key, "GET", "/api/mail?state=accepted", "").want(200).json(&p)
	want := []mailAddressee{{"a@example.in", "to", "accepted"}, {"b@example.in", "bcc", "failed"}}
	if !slices.Equal(p.Data[0].Recipients, want) {
		t.Errorf("got %+v", p.Data[0].Recipients)
	}
}

func TestMailsAreAskedForWrongly(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for query, pointer := range map[string]string{
		"state=sent": "/query/state", "stream=NEWS": "/query/stream", "template=a-b": "/query/template", "address=nobody": "/query/address",
		"contact_id=7": "/query/contact_id", "invoice_id=urn:uuid:" + outbox.NewID(): "/query/invoice_id", "created_after=now": "/query/created_after",
		"to=a@example.in": "/query/to",
	} {
		g.call(t, key, "GET", "/api/mail?"+query, "").problem(422, "validation_failed", pointer)
	}
	id := fmt.Sprintf("%s?x=1", outbox.NewID())
	g.call(t, key, "GET", "/api/mail/"+id, "").problem(422, "validation_failed", "/query/x")
	g.call(t, "", "GET", "/api/mail", "").problem(http.StatusUnauthorized, "unauthorized")
}

// organizationOf is whose key it is.
func (g *rig) organizationOf(t testing.TB, key string) string {
	t.Helper()
	var o struct{ ID string }
	g.call(t, key, "GET", "/api/organization", "").want(200).json(&o)
	return o.ID
}

// A fact that asked for a mail which can't be sent leaves its trace, but nothing that could be followed or settled.
func TestMailThatIsNotSentHasNoJob(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	template := "invoice"
	m := store.Mail{OrganizationID: org, ID: outbox.NewID(), Stream: "transactional", Template: &template}
	err := g.system.UnsentMail(t.Context(), m, store.MailEvent{ID: outbox.NewID(), Type: "not_sent", Detail: map[string]any{"reason": "no address"}})
	if err != nil {
		t.Fatal(err)
	}
	v := g.mail(t, key, m.ID)
	if v.State != "cancelled" || v.Links.Job != nil || len(v.Events) != 1 || v.Events[0].Type != "not_sent" {
		t.Errorf("got %+v", v)
	}
	var list struct{ Data []mailView }
	g.call(t, key, "GET", "/api/mail", "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].Links.Job != nil {
		t.Errorf("got %+v", list)
	}
	g.call(t, key, "GET", "/api/mail/"+g.mailed(t, org, nil, "a@example.in"), "").want(200)
}

func TestTimeThatIsNoneIsToldHowToWriteIt(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	var p problem
	g.call(t, key, "GET", "/api/mail?created_after=2026-01-01", "").want(422).json(&p)
	if len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Detail, "2026-01-31T09:00:00Z") {
		t.Errorf("got %+v", p)
	}
}
