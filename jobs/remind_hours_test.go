package jobs

import (
	"fmt"
	"testing"
	"time"
)

// clockAt gives a time zone whose clocks show hour and minute now.
func clockAt(hour, minute int) string {
	now := time.Now().UTC()
	east := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute -
		now.Sub(now.Truncate(24*time.Hour)).Truncate(time.Second)
	for east > 12*time.Hour {
		east -= 24 * time.Hour
	}
	for east < -11*time.Hour {
		east += 24 * time.Hour
	}
	sign := "-" // POSIX counts zones to the west
	if east < 0 {
		sign, east = "+", -east
	}
	return fmt.Sprintf("<here>%s%02d:%02d:%02d", sign, int(east.Hours()), int(east.Minutes())%60, int(east.Seconds())%60)
}

// What was missed is made up for at any hour, but for the day before the next step: nobody gets two letters within it.
func TestRemindersKeepADayApart(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	for _, c := range []struct {
		days, hour, minute int
		want               string
	}{
		{3, 9, 59, "[]"}, {3, 10, 0, reminderOf(3)},
		{4, 0, 30, reminderOf(3)}, {4, 23, 0, reminderOf(3)}, {6, 9, 58, reminderOf(3)}, {6, 10, 0, "[]"}, {6, 23, 0, "[]"},
		{7, 0, 30, "[]"}, {7, 9, 59, "[]"}, {7, 10, 0, reminderOf(7)},
		{14, 9, 59, "[]"}, {29, 11, 0, "[]"}, {30, 10, 0, reminderOf(30)}, {50, 0, 30, reminderOf(30)}, {50, 12, 0, reminderOf(30)},
	} {
		b := newDebtor(t, d, clockAt(c.hour, c.minute))
		invoice := b.invoice(c.days)
		b.remind()
		if got := fmt.Sprint(b.begun(invoice)); got != c.want {
			t.Errorf("day %d at %02d:%02d: begun are %s, want %s", c.days, c.hour, c.minute, got, c.want)
		}
	}
	// The one that was waited for comes.
	b := newDebtor(t, d, clockAt(9, 0))
	invoice := b.invoice(7)
	b.remind()
	b.want(invoice, "[]")
	exec(t, d, `UPDATE organizations SET timezone = $2 WHERE id = $1`, b.organization, clockAt(10, 0))
	// It may be another day where it is ten.
	exec(t, d, `UPDATE invoices SET due_date = (now() AT TIME ZONE timezone)::date - 7 FROM organizations o WHERE o.id = organization_id AND invoices.id = $1`, invoice)
	b.remind()
	b.want(invoice, reminderOf(7))
}
