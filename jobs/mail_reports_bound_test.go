package jobs_test

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

// Whoever was sent a mail has its ticket, and could tell of it without end.
func TestReportsOfAKindHaveAnEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail(store.MailAccepted, "asha@example.org", "ravi@example.org")
	for range 55 {
		d.take(d.path(id, 1), dsn(id, "asha@example.org", "delayed", "4.0.0", "450 later"))
	}
	d.take(d.path(id, 1), dsn(id, "asha@example.org", "failed", "5.1.1", "550 gone"))
	d.take(d.path(id, 2), dsn(id, "ravi@example.org", "delayed", "4.0.0", "450 later"))
	if got, want := d.told(id, 1), "accepted bounced:"+strings.Repeat(" delayed", 50)+" bounced address_suppressed"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := d.told(id, 2), "accepted: delayed"; got != want {
		t.Errorf("another recipient: got %s, want %s", got, want)
	}
}
