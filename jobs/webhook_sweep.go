package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/internal/store"
)

const (
	// A turn of the sweep costs the same however many lanes wait; the others are the next turn's.
	sweptLanes = 500
	// endedAtOnce is how much of one lane ends in a turn.
	endedAtOnce = 500
	// expireEvery is how often all lanes are looked through for what has waited too long.
	expireEvery = 30 * time.Second
	// lostEvery is how often River is asked for what it should have, and lostPatience how long that may be due before.
	lostEvery    = 30 * time.Second
	lostPatience = 30 * time.Second
	lostAtOnce   = 1000
)

// A DeliverySweep is the net under what deliveries do by themselves: it admits into lanes that nobody looks at any more,
// has deliveries made that River has lost, and ends what will not be made. It goes round all lanes in turns; the zero
// value is ready.
type DeliverySweep struct {
	lane     store.Lane // the last that it looked at
	expired  time.Time  // when the last round began that ends what has waited too long
	expiring bool       // the present one does
	asked    time.Time  // when River was last asked for what it should have
}

// Swept is what a turn came to.
type Swept struct {
	Inserts []river.InsertManyParams
	Lost    int // of the inserts, what River had lost
	Ended   int // deliveries that were given up
}

// Turn looks at the next lanes and deliveries, in the caller's transaction, which inserts what comes of it. Two sweeps
// must not run at a time.
func (s *DeliverySweep) Turn(ctx context.Context, tx pgx.Tx) (swept Swept, err error) {
	if err := s.waiting(ctx, tx, &swept); err != nil {
		return swept, err
	}
	return swept, s.lost(ctx, tx, &swept)
}

// waiting fills places that are free, and ends what waits for nothing.
func (s *DeliverySweep) waiting(ctx context.Context, tx pgx.Tx, swept *Swept) error {
	if s.lane == (store.Lane{}) {
		if s.expiring = time.Since(s.expired) >= expireEvery; s.expiring {
			s.expired = time.Now()
		}
	}
	list, err := store.WaitingLanes(ctx, tx, s.lane, sweptLanes)
	if err != nil {
		return err
	}
	if s.lane = (store.Lane{}); len(list) == sweptLanes {
		s.lane = list[len(list)-1].Lane
	}
	var alive, open []store.Lane
	over := make(map[string][]store.Lane)
	for _, l := range list {
		switch {
		case l.Over != "":
			over[l.Over] = append(over[l.Over], l.Lane)
			continue
		case !l.Paused:
			open = append(open, l.Lane)
		}
		alive = append(alive, l.Lane)
	}
	if s.expiring {
		n, err := store.EndExpired(ctx, tx, alive, endings[store.DeliveryExpired], endedAtOnce, runLifetime)
		if swept.Ended += n; err != nil {
			return err
		}
	}
	if err := end(ctx, tx, over, swept); err != nil {
		return err
	}
	turns, err := store.AdmitDeliveries(ctx, tx, open, Webhook.Share)
	swept.Inserts = append(swept.Inserts, insertTurns(turns)...)
	return err
}

// lost starts again what River should have and does not.
func (s *DeliverySweep) lost(ctx context.Context, tx pgx.Tx, swept *Swept) error {
	if time.Since(s.asked) < lostEvery {
		return nil
	}
	s.asked = time.Now()
	turns, err := store.LostDeliveries(ctx, tx, lostPatience, Webhook.Name, DeliverWebhook, lostAtOnce)
	swept.Lost = len(turns)
	swept.Inserts = append(swept.Inserts, insertTurns(turns)...)
	return err
}

// end gives up what waits in lanes, which are sorted by why.
func end(ctx context.Context, tx pgx.Tx, over map[string][]store.Lane, swept *Swept) error {
	for code, lanes := range over {
		n, err := store.EndWaiting(ctx, tx, lanes, endings[code], endedAtOnce)
		if swept.Ended += n; err != nil {
			return err
		}
	}
	return nil
}

// endings say why deliveries end without an attempt.
var endings = map[string]store.Ending{
	store.EndpointDisabled: {Code: store.EndpointDisabled, Detail: detailDisabled},
	store.EndpointDeleted:  {Code: store.EndpointDeleted, Detail: detailDeleted},
	store.DeliveryExpired:  {Code: store.DeliveryExpired, Detail: detailExpired},
}
