package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// mailed has a fact start its mails as often as it is told.
func (s *webhookSite) mailed(f events.Fact) {
	s.t.Helper()
	e := events.Envelope{ID: outbox.NewID(), Type: f.EventType(), OrganizationID: s.organization, Time: time.Now()}
	for range 2 { // it may be told twice, and be replayed
		for _, i := range Route(All(s.deps), e, f) {
			if args, ok := i.Args.(sendMailArgs); ok {
				s.must(sendMail{s.deps}.React(s.t.Context(), args))
			}
		}
	}
}

func TestOwnerHearsOfDisabledWebhook(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	s.exec(`UPDATE organizations SET email = 'owner@example.in'`)
	endpoint := s.endpoint("https://erp.example/hooks/a%2Fb?token=secret", "description", "Books")
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'failing', disabled_at = '2026-11-20T20:00:00Z',
		disabled_reason = 'It failed 100 times in a row, the last time with: answered 500 Internal Server Error.'`)
	s.mailed(events.WebhookDisabled{EndpointID: endpoint, Code: "failing", Failures: 100, Version: 2})
	rows, err := s.deps.DB.Pool().Query(t.Context(), `SELECT input FROM jobs WHERE kind = 'mail.send'`)
	s.must(err)
	inputs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	if len(inputs) != 1 {
		t.Fatalf("%d mails, want one", len(inputs))
	}
	var in struct {
		To       []string
		Template string
		Data     json.RawMessage
	}
	s.must(json.Unmarshal([]byte(inputs[0]), &in))
	if len(in.To) != 1 || in.To[0] != "Rao Textiles <owner@example.in>" || in.Template != "webhook_disabled" {
		t.Errorf("the mail is %s", inputs[0])
	}
	for _, want := range []string{`"https://erp.example/hooks/a%2Fb"`, `"Books"`, `100 times`, `"2026-11-21"`, `"2026-11-20T20:00:00Z"`, endpoint} {
		if !strings.Contains(string(in.Data), want) {
			t.Errorf("the letter's data have no %s: %s", want, in.Data)
		}
	}
	if strings.Contains(inputs[0], "secret") {
		t.Error("the mail tells the query of the URL")
	}
}

func TestOwnerHearsNothingOfOtherWebhooks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, code string }{
		"by the owner":  {`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now()`, "owner"},
		"enabled again": {`UPDATE webhook_endpoints SET description = 'x'`, "gone"},
		"deleted":       {`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'gone', disabled_at = now(), deleted_at = now()`, "gone"},
		"nobody to be mailed": {`UPDATE organizations SET email = NULL;
			UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'failing', disabled_at = now()`, "failing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			s.exec(`UPDATE organizations SET email = 'owner@example.in'`)
			endpoint := s.endpoint("https://erp.example/")
			s.exec(c.change)
			s.mailed(events.WebhookDisabled{EndpointID: endpoint, Code: c.code, Version: 2})
			if n := s.count(`SELECT count(*) FROM jobs`); n != 0 {
				t.Errorf("%d mails", n)
			}
			logged := strings.Contains(s.logged.String(), `level=INFO msg="nobody is told by mail of a disabled endpoint"`) &&
				strings.Contains(s.logged.String(), "endpoint_id="+endpoint)
			if want := name == "nobody to be mailed"; logged != want {
				t.Errorf("that nobody is told is logged: %v, want %v\n%s", logged, want, s.logged)
			}
		})
	}
}

// Who reads the log alone learns why as well.
func TestLogTellsWhyMailIsNotSent(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	e := events.Envelope{ID: outbox.NewID(), Type: "invoice.sent", OrganizationID: s.organization, Time: time.Now()}
	s.must(sendMail{s.deps}.unsent(t.Context(), *mailFor(e, outbox.NewID()).Cause,
		store.Mail{OrganizationID: s.organization, Template: &invoiceTemplate}, noAddress))
	if logged := s.logged.String(); !strings.Contains(logged, `msg="mail is not sent"`) || !strings.Contains(logged, `reason="`+noAddress+`"`) {
		t.Errorf("it logs %s", logged)
	}
}
