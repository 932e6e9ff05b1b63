package chaos

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// absence is a receiver that isn't always there.
type absence struct {
	*partnership
	sink     *localstack.Sink
	receiver *receiver
	endpoint subscription
	began    time.Time
	happened []string
}

func newAbsence(t *testing.T) *absence {
	t.Helper()
	sink, err := localstack.StartSink(t.Context(), localstack.SinkOptions{Dir: filepath.Join(passableDir(t), "sink")})
	must(t, "start a mail sink", err)
	_, port, err := net.SplitHostPort(sink.Addr())
	must(t, "the address of the sink", err)
	a := &absence{sink: sink, began: time.Now().Add(-time.Minute)}
	a.partnership = newPartnership(t, 1, "SMTP_HOST=127.0.0.1", "SMTP_PORT="+port, "SMTP_FROM=noreply@example.com")
	a.started(sink, nil)
	a.ask(t, http.MethodPatch, "/api/organization", `{"email":"owner@example.com"}`, http.StatusOK)
	a.receiver = newReceiver(t, "absent", answersWith(http.StatusOK))
	a.endpoint = a.own.subscribe(t, a.receiver, `"contact.*"`)
	return a
}

// TestAReceiverThatWasAwayMissesNothing tells a receiver of events while it is away, while it fails until it is disabled,
// and while it is disabled. In the end it has all of them.
func TestAReceiverThatWasAwayMissesNothing(t *testing.T) {
	t.Parallel()
	const whileAway, whileFailing, whileDisabled = 500, 30, 30
	a := newAbsence(t)
	a.happens(t, 5)
	must(t, "the first events", a.receiver.gets(within(t, 30*time.Second), len(a.happened)))

	a.receiver.stop()
	a.happens(t, whileAway)
	a.written(t, len(a.happened))
	must(t, "pause", pause(t.Context(), 20*time.Second))
	if n := a.failures(t); n == 0 || n > 15 {
		t.Errorf("%d requests were made of a receiver that was away for 20 seconds, want a few", n)
	}
	a.receiver.start(t)
	back := time.Now()
	must(t, "all that happened while it was away", a.receiver.gets(within(t, 3*time.Minute), len(a.happened)))
	took(t, fmt.Sprintf("all of %d events had come", whileAway), back, 75*time.Second)

	a.receiver.turns(answersWith(http.StatusInternalServerError))
	a.happens(t, whileFailing)
	a.fails(t)
	a.told(t)

	a.happens(t, whileDisabled)
	a.routed(t)
	a.receiver.turns(answersWith(http.StatusOK))
	before := len(a.receiver.all())
	a.ask(t, http.MethodPost, "/api/webhooks/"+a.endpoint.ID+"/replay", `{"since":"`+a.began.UTC().Format(time.RFC3339)+`"}`, http.StatusConflict)
	a.ask(t, http.MethodPatch, "/api/webhooks/"+a.endpoint.ID, `{"status":"enabled"}`, http.StatusOK)
	a.ask(t, http.MethodPost, "/api/webhooks/"+a.endpoint.ID+"/replay", `{"missed":true,"since":"`+a.began.UTC().Format(time.RFC3339)+`"}`, http.StatusAccepted)
	must(t, "all that failed or was missed", a.receiver.gets(within(t, time.Minute), len(a.happened)))
	a.settle(t, time.Minute)
	a.judge(t, a.receiver, a.endpoint, a.happened)
	if n := len(a.receiver.all()) - before; n != whileFailing+whileDisabled {
		t.Errorf("the replay made %d requests, want %d", n, whileFailing+whileDisabled)
	}
}

func (a *absence) happens(t *testing.T, n int) {
	t.Helper()
	list, err := a.happen(t.Context(), n)
	must(t, "make events", err)
	a.happened = append(a.happened, list...)
}

// ask sends a request of the organization, and wants an answer of a status.
func (a *absence) ask(t *testing.T, method, path, body string, status int) reply {
	t.Helper()
	r, err := a.own.call(within(t, 20*time.Second), method, path, body)
	if err == nil && r.status != status {
		err = fmt.Errorf("got %d %s, want %d", r.status, r.body, status)
	}
	must(t, method+" "+path, err)
	return r
}

// written waits until there are so many deliveries.
func (a *absence) written(t *testing.T, n int) {
	t.Helper()
	must(t, "wait for deliveries", eventually(within(t, time.Minute), func(ctx context.Context) error {
		var got int
		err := a.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_deliveries`).Scan(&got)
		if err == nil && got != n {
			err = fmt.Errorf("there are %d, want %d", got, n)
		}
		return err
	}))
}

// routed waits until every fact has been told.
func (a *absence) routed(t *testing.T) {
	t.Helper()
	must(t, "wait for the router", eventually(within(t, time.Minute), func(ctx context.Context) error {
		var left int
		err := a.pool.QueryRow(ctx, `SELECT count(*) FROM outbox o WHERE NOT EXISTS
			(SELECT FROM consumer_positions p WHERE p.consumer = 'router' AND (o.xid, o.id) <= (p.xid, p.id))`).Scan(&left)
		if err == nil && left > 0 {
			err = fmt.Errorf("%d facts are not routed", left)
		}
		return err
	}))
}

func (a *absence) failures(t *testing.T) (n int) {
	t.Helper()
	must(t, "count attempts", a.pool.QueryRow(t.Context(), `SELECT count(*) FROM webhook_attempts WHERE error_code IS NOT NULL`).Scan(&n))
	return n
}

// fails waits until the receiver is left alone, has it be three days later, and waits until it is disabled.
func (a *absence) fails(t *testing.T) {
	t.Helper()
	var failures int
	must(t, "wait until it is left alone", eventually(within(t, time.Minute), func(ctx context.Context) error {
		err := a.pool.QueryRow(ctx, `SELECT failures FROM webhook_lanes WHERE id = $1::uuid AND paused_until > now()`, a.endpoint.ID).Scan(&failures)
		if err == nil && failures < 5 {
			err = fmt.Errorf("it has failed %d times", failures)
		}
		return err
	}))
	_, err := a.pool.Exec(t.Context(), `UPDATE webhook_lanes SET failing_since = failing_since - interval '3 days', paused_until = now()
		WHERE id = $1::uuid`, a.endpoint.ID)
	must(t, "let time pass", err)
	var s subscription
	must(t, "wait until it is disabled", eventually(within(t, time.Minute), func(ctx context.Context) error {
		r, err := a.own.call(ctx, http.MethodGet, "/api/webhooks/"+a.endpoint.ID, "")
		if err == nil {
			err = r.into(&s)
		}
		if err == nil && s.Status != "disabled" {
			err = fmt.Errorf("it is %s", s.Status)
		}
		return err
	}))
	if s.DisabledCode != "failing" || s.DisabledReason == "" {
		t.Errorf("it is disabled with the code %q, want failing, and the reason %q", s.DisabledCode, s.DisabledReason)
	}
}

// told wants the organization to be told of its endpoint, once.
func (a *absence) told(t *testing.T) {
	t.Helper()
	var mail localstack.SinkMessage
	must(t, "wait for the mail", eventually(within(t, time.Minute), func(context.Context) error {
		list := a.sink.Messages()
		if len(list) != 1 {
			return fmt.Errorf("there are %d mails", len(list))
		}
		mail = list[0]
		return nil
	}))
	text, err := os.ReadFile(mail.Path)
	must(t, "read the mail", err)
	t.Logf("the mail is %q to %v", mail.Subject, mail.To)
	// Long lines are folded on the way.
	if body := strings.ReplaceAll(string(text), "=\r\n", ""); len(mail.To) != 1 || mail.To[0] != "owner@example.com" || !strings.Contains(body, a.receiver.address) {
		t.Errorf("the mail goes to %v, want the owner, and names %s: %s", mail.To, a.receiver.address, body)
	}
}
