package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// rollUp sums up the hours that minutes are of.
func (s *sampler) rollUp(ctx context.Context, first, last time.Time) error {
	from, until := first.Truncate(time.Hour), last.Truncate(time.Hour).Add(time.Hour)
	queues, err := store.QueueMinutes(ctx, s.db.Pool(), store.Minutes, "", from, until)
	if err != nil {
		return err
	}
	kinds, err := store.KindMinutes(ctx, s.db.Pool(), store.Minutes, "", from, until)
	if err != nil {
		return err
	}
	queueHours, err := hoursOf(queues)
	if err != nil {
		return err
	}
	kindHours, err := kindHoursOf(kinds)
	if err != nil {
		return err
	}
	return s.db.PutHours(ctx, queueHours, kindHours)
}

// An hourOf is a thing and an hour.
type hourOf struct {
	name string
	at   time.Time
}

// hoursOf sums up minutes that come in their order.
func hoursOf(list []store.QueueMinute) (hours []store.QueueMinute, err error) {
	work := make(map[hourOf]*minutes.Queue)
	place := make(map[hourOf]int)
	for _, m := range list {
		h := hourOf{m.Queue, m.At.Truncate(time.Hour)}
		i, known := place[h]
		if !known {
			i, work[h] = len(hours), &minutes.Queue{}
			place[h], hours = i, append(hours, store.QueueMinute{At: h.at, Queue: h.name})
		}
		hour := &hours[i]
		hour.Samples += m.Samples
		hour.Available, hour.OldestMS = greater(hour.Available, m.Available), greater(hour.OldestMS, m.OldestMS)
		if m.Samples > 0 {
			hour.Running, hour.Later, hour.Workers, hour.Places = m.Running, m.Later, m.Workers, m.Places
		}
		if m.Outcomes == nil {
			continue
		}
		if err := addWork(work[h], m.Outcomes, m.Waits, m.Runs); err != nil {
			return nil, fmt.Errorf("sum up %s of %s: %w", m.Queue, m.At.Format(time.RFC3339), err)
		}
		hour.Outcomes = work[h].Outcomes
	}
	for h, i := range place {
		if hours[i].Outcomes == nil {
			continue
		}
		if hours[i].Waits, hours[i].Runs, err = encodeTimes(*work[h]); err != nil {
			return nil, err
		}
	}
	return hours, nil
}

func kindHoursOf(list []store.KindWork) (hours []store.KindWork, err error) {
	work := make(map[hourOf]*minutes.Queue)
	place := make(map[hourOf]int)
	for _, m := range list {
		h := hourOf{m.Kind, m.At.Truncate(time.Hour)}
		i, known := place[h]
		if !known {
			i, work[h] = len(hours), &minutes.Queue{}
			place[h], hours = i, append(hours, store.KindWork{At: h.at, Kind: h.name})
		}
		if err := addWork(work[h], m.Outcomes, nil, m.Runs); err != nil {
			return nil, fmt.Errorf("sum up %s of %s: %w", m.Kind, m.At.Format(time.RFC3339), err)
		}
		hours[i].Queue, hours[i].Outcomes = m.Queue, work[h].Outcomes
	}
	for h, i := range place {
		if _, hours[i].Runs, err = encodeTimes(*work[h]); err != nil {
			return nil, err
		}
	}
	return hours, nil
}

func addWork(to *minutes.Queue, outcomes map[string]int64, waits, runs json.RawMessage) error {
	one := minutes.Queue{Outcomes: outcomes}
	for _, times := range []struct {
		data json.RawMessage
		into *minutes.Times
	}{{waits, &one.Waits}, {runs, &one.Times}} {
		if times.data == nil {
			continue
		}
		if err := json.Unmarshal(times.data, times.into); err != nil {
			return err
		}
	}
	to.Add(one)
	return nil
}

func greater(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
