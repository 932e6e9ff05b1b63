package jobs

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// A delivery that went well leaves nothing, as there are thousands a second; of one that did not is kept what came back
// and when it is made again, and nothing of where it went and what was in it.
func TestOnlyFailedDeliveriesAreNoted(t *testing.T) {
	t.Parallel()
	row := &rivertype.JobRow{ID: 7, Kind: DeliverWebhook, Queue: "webhook", Attempt: 1, EncodedArgs: []byte(`{}`)}
	note := func(a webhook.Answer, j judgement, o Outcome) (store.JobAttempt, bool) {
		ctx, journal := Keeping(t.Context(), slog.New(slog.DiscardHandler))
		e := &webhookEnd{answer: a, judgement: j}
		e.turn.ID, e.turn.URL = "d", "https://secret.example/secret"
		e.note(ctx)
		return NoteOf(row, o, nil, journal)
	}
	if a, kept := note(webhook.Answer{StatusCode: 204}, judgement{status: store.DeliverySucceeded}, Succeeded); kept {
		t.Errorf("a success left %+v", a)
	}
	failed := webhook.Answer{StatusCode: http.StatusServiceUnavailable, Code: webhook.Status, Latency: 12 * time.Millisecond, Body: []byte("secret"), Detail: "secret"}
	for o, j := range map[Outcome]judgement{
		Waiting: {status: store.DeliveryPending, next: 5 * time.Second}, Succeeded: {status: store.DeliveryFailed},
	} {
		a, kept := note(failed, j, o)
		said := string(a.Log) + a.Error
		if !kept || a.Outcome != string(o) || strings.Contains(said, "secret") || !strings.Contains(said, `"status_code":503`) || !strings.Contains(said, `"ms":12`) {
			t.Errorf("%s: kept %t: %s %s", o, kept, a.Outcome, said)
		}
		if o == Waiting && (!strings.Contains(said, `"next_in_ms":5000`) || !strings.Contains(a.Error, "503 Service Unavailable")) {
			t.Errorf("when it comes again is not said: %s", said)
		}
	}
}
