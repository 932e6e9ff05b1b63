package jobs

import (
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// retryAfter is how long a delivery waits after the given number of attempts, 1 for the first; 0: there is no other.
func retryAfter(attempts int) time.Duration {
	schedule := [...]time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour,
		6 * time.Hour, 12 * time.Hour, longestWait, longestWait,
	}
	if attempts < 1 || attempts > len(schedule) {
		return 0
	}
	return schedule[attempts-1]
}

const (
	longestWait    = 24 * time.Hour // of the schedule, give or take a tenth
	mostRetryAfter = 24 * time.Hour // that is asked for by a receiver, of one delivery
	mostLanePause  = time.Hour      // and of all
	// laneSilence is longer than a receiver hears nothing while something is tried again and again.
	laneSilence = longestWait*11/10 + 2*mostLanePause
	// lastCall is how long before a run is over its last attempt comes at the latest.
	lastCall = 10 * time.Minute
)

// A lesson is what an attempt has shown of the receiver as a whole.
type lesson int

const (
	nothingLearned lesson = iota
	receiverWell
	receiverFailed
)

// A judgement is what becomes of a delivery after an attempt.
type judgement struct {
	status string
	next   time.Duration // until the next attempt, where it is pending
	lesson lesson
	pause  time.Duration // of the lane, as the receiver wished
	gone   bool          // the endpoint wants no more
}

// judge says what becomes of a delivery. spread is from 0 to 1 and parts those that failed at the same moment.
func judge(t deliveryTurn, a webhook.Answer, spread float64) judgement {
	status := a.StatusCode
	switch {
	case a.Code == "" && t.Purpose == purposeTest:
		return judgement{status: store.DeliverySucceeded}
	case a.Code == "":
		return judgement{status: store.DeliverySucceeded, lesson: receiverWell}
	case t.Purpose == purposeTest:
		return judgement{status: store.DeliveryFailed}
	case status == http.StatusGone:
		return judgement{status: store.DeliveryFailed, gone: t.EndpointID != nil}
	}
	j := judgement{status: store.DeliveryFailed, lesson: receiverFailed}
	if t.EndpointID == nil && isOfURL(status) {
		j.lesson = nothingLearned
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		j.pause = min(a.RetryAfter, mostLanePause)
	}
	wait := retryAfter(t.Attempts + 1)
	if wait == 0 {
		return j
	}
	wait += time.Duration((spread - 0.5) * 0.2 * float64(wait))
	// Nobody comes back earlier than was asked for.
	asked := min(a.RetryAfter, mostRetryAfter) + time.Duration(spread*float64(time.Second))
	wait = max(wait, asked)
	left := runLifetime - t.Now.Sub(t.BegunAt) - a.Latency - lastCall
	if wait > left && wait < 2*left {
		wait = max(left, asked) // the last one, while there is time
	}
	if wait <= left {
		j.status, j.next = store.DeliveryPending, wait
	}
	return j
}

// ofProbe is a judgement of one that went ahead of the others. Where the host of callbacks speaks of that URL alone it is
// there, and the others need not wait for it any longer.
func (j judgement) ofProbe(t deliveryTurn, a webhook.Answer) judgement {
	if j.lesson == nothingLearned && t.EndpointID == nil && a.StatusCode != 0 {
		j.lesson = receiverWell
	}
	return j
}

// isOfURL reports whether an answer speaks of the URL that was asked, and not of the host, which others of the
// organization's callbacks share.
func isOfURL(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout &&
		status != http.StatusTooEarly
}
