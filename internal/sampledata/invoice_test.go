package sampledata

import (
	"testing"
	"time"
)

// TestInvoicesAreOfTheirDay: what became of an invoice is what the schedule and the customer would have made of it
// by the day, also of the few that fall due just before it.
func TestInvoicesAreOfTheirDay(t *testing.T) {
	t.Parallel()
	b := newBusiness(Options{Contacts: 1000, Invoices: 60_000, Seed: 4, Today: testDay}, 0)
	dueYesterday := 0
	for i := range b.rows.Invoices {
		v := b.invoice(i)
		late := v.due.Before(date(testDay))
		if late && v.due.AddDate(0, 0, 1).Equal(date(testDay)) {
			dueYesterday++
		}
		if v.status == "sent" && late || v.status == "overdue" && !late {
			t.Errorf("invoice %d, due on %s, is %s", i, v.due.Format(time.DateOnly), v.status)
		}
		if v.updated.After(b.calendar.today) || v.updated.Before(v.created) {
			t.Errorf("invoice %d of %s was changed on %s", i, v.created, v.updated)
		}
		var paid int64
		at := v.created
		for _, p := range v.payments {
			if paid += p.amount; p.amount <= 0 || p.at.Before(at) || v.sent == nil || p.at.Before(*v.sent) {
				t.Errorf("invoice %d has payments %+v", i, v.payments)
			}
			at = p.at
		}
		if paid != v.paid || paid > v.sum.Total || (v.status == "paid") != (paid == v.sum.Total) {
			t.Errorf("invoice %d is %s with %d of %d paid", i, v.status, paid, v.sum.Total)
		}
	}
	if dueYesterday < 50 {
		t.Errorf("%d invoices were due yesterday: that says little", dueYesterday)
	}
}
