package jobs

import (
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	// runLifetime is how long a run of a delivery is tried.
	runLifetime = 3 * 24 * time.Hour
	// probeClaim is how long a lane waits for the one that went ahead: longer than an attempt takes.
	probeClaim = 30 * time.Second
	// River's clock and the database's may differ by as much.
	dueSlack = 100 * time.Millisecond
)

// A deliveryStep is what is next for a delivery whose turn it is.
type deliveryStep int

const (
	stepDone    deliveryStep = iota // there is nothing to do, or it is another's
	stepGiveUp                      // it ends without an attempt
	stepLater                       // its time has not come
	stepPaused                      // its lane is paused
	stepProbe                       // it goes if no other of its lane does
	stepAttempt                     // it goes
)

// A deliveryTurn is a delivery as River's job found it.
type deliveryTurn struct {
	store.DeliveryToMake
	run int
	now bool // somebody asked for it: neither its turn nor pauses nor places hold it up

	snoozes int // how often the job was put off, for whatever reason
}

// next says what is next, and what for.
func (t deliveryTurn) next() (deliveryStep, store.GivenUp) {
	switch {
	case t.Status != store.DeliveryPending || t.Run != t.run || !t.Admitted && !t.now:
		return stepDone, store.GivenUp{}
	case t.Deleted:
		return stepGiveUp, t.over(store.EndpointDeleted, detailDeleted)
	case t.Disabled && t.Purpose != purposeTest:
		return stepGiveUp, t.over(store.EndpointDisabled, detailDisabled)
	case t.Now.Sub(t.BegunAt) > runLifetime:
		return stepGiveUp, t.over(store.DeliveryExpired, detailExpired)
	case t.now && t.Attempts == 0:
		return stepAttempt, store.GivenUp{}
	case t.NextAttemptAt != nil && t.NextAttemptAt.Sub(t.Now) > dueSlack:
		return stepLater, store.GivenUp{}
	case t.now:
		return stepAttempt, store.GivenUp{}
	case t.pause() > 0:
		return stepPaused, store.GivenUp{}
	case t.Failures >= store.BreakAfter:
		return stepProbe, store.GivenUp{}
	}
	return stepAttempt, store.GivenUp{}
}

const (
	purposeTest    = "test"
	purposeEvent   = "event"
	detailDisabled = "The endpoint was disabled before this was delivered."
	detailDeleted  = "The endpoint was deleted before this was delivered."
	detailExpired  = "It could not be delivered within three days."
)

func (t deliveryTurn) over(code, detail string) store.GivenUp {
	return store.GivenUp{DeliveryKey: t.key(), LaneID: t.LaneID, Run: t.Run, Code: code, Detail: detail, Within: runLifetime}
}

func (t deliveryTurn) key() store.DeliveryKey {
	return store.DeliveryKey{OrganizationID: t.OrganizationID, DeliveryID: t.ID}
}

func (t deliveryTurn) lane() store.Lane {
	return store.Lane{OrganizationID: t.OrganizationID, ID: t.LaneID}
}

// pause is how long the lane is left alone from now.
func (t deliveryTurn) pause() time.Duration {
	if t.PausedUntil == nil {
		return 0
	}
	return t.PausedUntil.Sub(t.Now)
}

// places are how many deliveries of the lane may be under way at a time.
func (t deliveryTurn) places() int {
	switch {
	case t.now:
		return maxWebhookSlots
	case t.Failures >= store.BreakAfter:
		return 1
	}
	return min(10, 2+t.Successes)
}

// standing is what all processes know of the lane.
func (t deliveryTurn) standing() standing {
	switch {
	case t.Failures > 0:
		return standingBad
	case t.Successes > 0:
		return standingGood
	}
	return standingNew
}

// maxWebhookSlots is more than any process has.
const maxWebhookSlots = 1 << 20
