package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

var someEndpoint = "0197aaaa-0000-7000-8000-00000000000a"

// turnAt is a pending delivery so long after its run began, with so many attempts made.
func turnAt(age time.Duration, attempts int) deliveryTurn {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return deliveryTurn{run: 1, DeliveryToMake: store.DeliveryToMake{EndpointID: &someEndpoint, Purpose: purposeEvent, Status: store.DeliveryPending,
		Run: 1, BegunAt: now.Add(-age), Attempts: attempts, Admitted: true, NextAttemptAt: &now, Now: now}}
}

// From the first attempt to the last it takes about three days, and never more.
func TestWebhookScheduleTakesThreeDays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		age, attempts, last := time.Duration(0), 0, time.Duration(0)
		for {
			j := judge(turnAt(age, attempts), webhook.Answer{Code: webhook.Timeout, Latency: 15 * time.Second}, rapid.Float64Range(0, 1).Draw(t, "spread"))
			attempts++
			if j.lesson != receiverFailed {
				t.Fatalf("attempt %d taught %v", attempts, j.lesson)
			}
			if j.status == store.DeliveryFailed {
				break
			}
			lastOne := age+15*time.Second+j.next == runLifetime-lastCall // which comes while there is time
			if (j.next < last*8/10 && !lastOne) || j.next < 4*time.Second {
				t.Fatalf("attempt %d comes after %s, the one before came after %s", attempts, j.next, last)
			}
			last = j.next
			age += j.next + 15*time.Second
		}
		if age > runLifetime || age < 63*time.Hour || attempts < 10 || attempts > 12 {
			t.Fatalf("given up after %s and %d attempts", age, attempts)
		}
	})
}

func TestWebhookJudgement(t *testing.T) {
	t.Parallel()
	callback := turnAt(time.Minute, 0)
	callback.EndpointID, callback.Purpose = nil, "callback"
	test := turnAt(0, 0)
	test.Purpose = purposeTest
	for name, c := range map[string]struct {
		turn   deliveryTurn
		answer webhook.Answer
		want   judgement
	}{
		"taken":               {turnAt(0, 0), webhook.Answer{StatusCode: 202}, judgement{status: "succeeded", lesson: receiverWell}},
		"gone":                {turnAt(0, 0), webhook.Answer{StatusCode: 410, Code: "gone"}, judgement{status: "failed", gone: true}},
		"gone for a callback": {callback, webhook.Answer{StatusCode: 410, Code: "gone"}, judgement{status: "failed"}},
		"a test":              {test, webhook.Answer{StatusCode: 503, Code: "status", RetryAfter: time.Hour}, judgement{status: "failed"}},
		"first":               {turnAt(0, 0), webhook.Answer{StatusCode: 500, Code: "status"}, judgement{status: "pending", lesson: receiverFailed, next: 5 * time.Second}},
		"fifth":               {turnAt(time.Hour, 4), webhook.Answer{Code: "dns"}, judgement{status: "pending", lesson: receiverFailed, next: 30 * time.Minute}},
		"wished for": {turnAt(0, 0), webhook.Answer{StatusCode: 429, Code: "status", RetryAfter: 2 * time.Hour},
			judgement{status: "pending", lesson: receiverFailed, next: 2*time.Hour + time.Second/2, pause: time.Hour}},
		"earlier than the schedule": {turnAt(time.Hour, 4), webhook.Answer{StatusCode: 503, Code: "status", RetryAfter: time.Second},
			judgement{status: "pending", lesson: receiverFailed, next: 30 * time.Minute, pause: time.Second}},
		"too late for another":    {turnAt(71*time.Hour, 9), webhook.Answer{StatusCode: 500, Code: "status"}, judgement{status: "failed", lesson: receiverFailed}},
		"wished for too late":     {turnAt(70*time.Hour, 1), webhook.Answer{StatusCode: 500, Code: "status", RetryAfter: 5 * time.Hour}, judgement{status: "failed", lesson: receiverFailed}},
		"out of attempts":         {turnAt(time.Hour, 11), webhook.Answer{Code: "tls"}, judgement{status: "failed", lesson: receiverFailed}},
		"a callback's own 404":    {callback, webhook.Answer{StatusCode: 404, Code: "status"}, judgement{status: "pending", next: 5 * time.Second}},
		"a host that is too busy": {callback, webhook.Answer{StatusCode: 429, Code: "status"}, judgement{status: "pending", lesson: receiverFailed, next: 5 * time.Second}},
		"a host that fails":       {callback, webhook.Answer{StatusCode: 500, Code: "status"}, judgement{status: "pending", lesson: receiverFailed, next: 5 * time.Second}},
	} {
		if got := judge(c.turn, c.answer, 0.5); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestWebhookNextStep(t *testing.T) {
	t.Parallel()
	after := func(d time.Duration) *time.Time { at := turnAt(0, 0).Now.Add(d); return &at }
	for name, c := range map[string]struct {
		change func(*deliveryTurn)
		want   deliveryStep
		code   string
	}{
		"due":                 {func(*deliveryTurn) {}, stepAttempt, ""},
		"ended":               {func(d *deliveryTurn) { d.Status = "succeeded" }, stepDone, ""},
		"another run":         {func(d *deliveryTurn) { d.Run = 2 }, stepDone, ""},
		"waits as a row":      {func(d *deliveryTurn) { d.Admitted = false }, stepDone, ""},
		"disabled":            {func(d *deliveryTurn) { d.Disabled = true }, stepGiveUp, "endpoint_disabled"},
		"disabled, a test":    {func(d *deliveryTurn) { d.Disabled, d.Purpose = true, "test" }, stepAttempt, ""},
		"disabled, asked for": {func(d *deliveryTurn) { d.Disabled, d.now = true, true }, stepGiveUp, "endpoint_disabled"},
		"deleted, a test":     {func(d *deliveryTurn) { d.Deleted, d.Disabled, d.Purpose = true, true, "test" }, stepGiveUp, "endpoint_deleted"},
		"three days old":      {func(d *deliveryTurn) { d.BegunAt = *after(-runLifetime - 1) }, stepGiveUp, "expired"},
		"too early":           {func(d *deliveryTurn) { d.NextAttemptAt = after(time.Second) }, stepLater, ""},
		"a moment early":      {func(d *deliveryTurn) { d.NextAttemptAt = after(50 * time.Millisecond) }, stepAttempt, ""},
		"paused":              {func(d *deliveryTurn) { d.Failures, d.PausedUntil = 5, after(time.Second) }, stepPaused, ""},
		"paused by wish":      {func(d *deliveryTurn) { d.PausedUntil = after(time.Second) }, stepPaused, ""},
		"asked for": {func(d *deliveryTurn) {
			d.PausedUntil, d.NextAttemptAt, d.now = after(time.Hour), after(time.Hour), true
		}, stepAttempt, ""},
		"asked for, handed back": {func(d *deliveryTurn) { d.Admitted, d.now = false, true }, stepAttempt, ""},
		"asked for, tried since": {func(d *deliveryTurn) { d.Attempts, d.NextAttemptAt, d.now = 1, after(time.Second), true }, stepLater, ""},
		"asked for, tried again": {func(d *deliveryTurn) { d.Attempts, d.PausedUntil, d.now = 1, after(time.Hour), true }, stepAttempt, ""},
		"after the pause":        {func(d *deliveryTurn) { d.Failures, d.PausedUntil = 5, after(-1) }, stepProbe, ""},
		"failing":                {func(d *deliveryTurn) { d.Failures = 4 }, stepAttempt, ""},
	} {
		d := turnAt(time.Hour, 0)
		c.change(&d)
		if got, over := d.next(); got != c.want || over.Code != c.code {
			t.Errorf("%s: got step %d with %q, want %d with %q", name, got, over.Code, c.want, c.code)
		}
	}
}

// While anything is tried again and again there is no silence, whatever the receiver wishes.
func TestWebhookSilenceIsLongerThanAnyWait(t *testing.T) {
	t.Parallel()
	for attempts := range 12 {
		for _, wish := range []time.Duration{0, 1000 * time.Hour} {
			j := judge(turnAt(0, attempts), webhook.Answer{StatusCode: 503, Code: "status", RetryAfter: wish}, 1)
			if j.next+mostLanePause >= laneSilence {
				t.Errorf("after %d attempts it waits for %s, and for the lane's pause; %s is a silence", attempts+1, j.next, laneSilence)
			}
		}
	}
}

func TestWebhookPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ failures, successes, want int }{{0, 0, 2}, {0, 3, 5}, {0, 8, 10}, {4, 0, 2}, {5, 0, 1}, {90, 0, 1}} {
		d := turnAt(0, 0)
		d.Failures, d.Successes = c.failures, c.successes
		if got := d.places(); got != c.want {
			t.Errorf("after %d failures, %d successes: %d places, want %d", c.failures, c.successes, got, c.want)
		}
	}
}
