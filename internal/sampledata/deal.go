package sampledata

import (
	"time"

	"github.com/google/uuid"
)

type deal struct {
	id          uuid.UUID
	contact     uuid.UUID
	title       string
	value       int64
	stage       string
	probability int16
	expected    *time.Time
	lostReason  *string
	changed     time.Time
	closed      *time.Time
	version     int64
	created     time.Time
}

// The stages, in their order, and what each stands for in per cent.
var (
	stages     = []string{"lead", "qualified", "proposal", "negotiation", "won", "lost"}
	likelihood = []int16{10, 25, 50, 75, 100, 0}
	won, lost  = 4, 5
	pipeline   = []int{38, 28, 20, 14}
)

var dealColumns = []string{"organization_id", "id", "contact_id", "title", "value", "stage", "probability", "expected_close_date",
	"lost_reason", "stage_changed_at", "closed_at", "version", "created_at", "updated_at"}

func (b *business) dealRow(i int, row []any) []any {
	d := b.deal(i)
	return append(row, b.id, d.id, d.contact, d.title, d.value, d.stage, d.probability, d.expected,
		d.lostReason, d.changed, d.closed, d.version, d.created, d.changed)
}

// deal makes up the i-th deal, with a contact that was there before it.
func (b *business) deal(i int) deal {
	r := b.chance.of(dealKind, i)
	d := deal{created: b.calendar.at(i, b.rows.Deals, r)}
	with := b.contact(b.earlier(r, i, b.rows.Deals))
	d.created = after(d.created, with.created)
	d.id, d.contact = b.chance.id(dealKind, i, d.created), with.id
	d.title = pick(r, dealNeeds) + " for "
	if with.company != nil {
		d.title += *with.company
	} else {
		d.title += with.name
	}
	// From ten thousand rupees to some twenty lakh, small ones more often.
	d.value = int64(r.between(10, 99)) * 1000_00 << r.weighted(40, 25, 18, 12, 5)
	b.moveDeal(r, &d)
	return d
}

// earlier is a contact made before the i-th of n things, mostly a recent one.
func (b *business) earlier(d dice, i, n int) int {
	before := int(int64(i) * int64(b.rows.Contacts) / int64(n))
	if before <= 1 {
		return 0
	}
	if recent := max(1, before/20); d.percent(70) {
		return before - 1 - d.IntN(recent)
	}
	return d.IntN(before)
}

// after is t, unless that is before what must be earlier.
func after(t, earlier time.Time) time.Time {
	if t.After(earlier) {
		return t
	}
	return earlier
}

// moveDeal: the older a deal is, the likelier its end.
func (b *business) moveDeal(r dice, d *deal) {
	age := b.calendar.daysSince(d.created)
	ended := r.percent(min(78, 5+age))
	stage := r.weighted(pipeline...)
	if ended {
		stage = won + r.weighted(60, 40)
	}
	d.changed = d.created
	if stage > 0 {
		d.changed = b.calendar.later(r, d.created, 75)
	}
	if stage > 0 && !d.changed.After(d.created) {
		stage = 0 // it is too young
	}
	d.stage, d.probability, d.version = stages[stage], likelihood[stage], int64(min(stage, won)+1)
	switch {
	case stage == lost:
		reason := pick(r, lostReasons)
		d.lostReason = &reason
		d.closed = &d.changed
	case stage == won:
		d.closed = &d.changed
	case r.percent(50):
		d.probability += int16(r.between(-5, 10))
	}
	if !r.percent(90) {
		return
	}
	expected := date(d.changed)
	if d.closed == nil { // some slip
		expected = date(b.calendar.today).AddDate(0, 0, r.between(-12, 75))
		expected = later(expected, date(d.created))
	}
	d.expected = &expected
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
