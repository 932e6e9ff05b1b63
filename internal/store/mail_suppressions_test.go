package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// What comes to an address that is on the list already: the graver reason is shown, and nothing that was to last ends
// sooner for it.
func TestSuppressionsMeet(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, org := open(t, url, store.System), outbox.NewID()
	const never, gone, day, week = 0, -time.Hour, 24 * time.Hour, 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		first, then string
		ends, later time.Duration
		want        string
		lasts       time.Duration
		fresh       bool // an entry of its own
	}{
		"unsubscribed, then by hand for a day":            {"unsubscribe", "manual", never, day, "manual", never, false},
		"by hand for a day, then unsubscribed":            {"manual", "unsubscribe", day, never, "manual", never, false},
		"complained, then bounced":                        {"complaint", "soft_bounce", never, week, "complaint", never, false},
		"bounced for a week, then for a day":              {"hard_bounce", "soft_bounce", week, day, "hard_bounce", week, false},
		"bounced for a day, then softly for a week":       {"hard_bounce", "soft_bounce", day, week, "hard_bounce", week, false},
		"by hand, then by hand for a day":                 {"manual", "manual", never, day, "manual", day, false},
		"softly bounced for a week, then hard":            {"soft_bounce", "hard_bounce", week, never, "hard_bounce", never, false},
		"complained until a while ago, then unsubscribed": {"complaint", "unsubscribe", gone, never, "unsubscribe", never, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(in time.Duration) *time.Time {
				if in == never {
					return nil
				}
				end := time.Now().Add(in).UTC().Truncate(time.Microsecond)
				return &end
			}
			address := outbox.NewID() + "@Example.in"
			list := func(reason string, in time.Duration) store.Suppression {
				s, _, err := store.Suppress(t.Context(), db.Pool(), store.Suppression{OrganizationID: org, ID: outbox.NewID(),
					Address: address, Stream: "news", Reason: reason, ExpiresAt: at(in)})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			first := list(c.first, c.ends)
			list(c.then, c.later)
			all, err := db.Suppressions(t.Context(), org, store.SuppressionFilter{Address: address, Limit: 9})
			if err != nil || len(all) != 1 {
				t.Fatalf("got %+v, %v", all, err)
			}
			got := all[0]
			if got.Reason != c.want || (got.ID != first.ID) != c.fresh {
				t.Errorf("got %+v", got)
			}
			if want := at(c.lasts); (want == nil) != (got.ExpiresAt == nil) || want != nil && want.Sub(*got.ExpiresAt).Abs() > time.Minute {
				t.Errorf("it ends %v, want %v", got.ExpiresAt, want)
			}
		})
	}
}

func TestUnsuppress(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, org := open(t, url, store.System), outbox.NewID()
	list := func(stream string, ends *time.Time) store.Suppression {
		s, _, err := store.Suppress(t.Context(), db.Pool(), store.Suppression{OrganizationID: org, ID: outbox.NewID(), Address: "A@example.in",
			Stream: stream, Reason: "manual", ExpiresAt: ends})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	gone := time.Now().Add(-time.Hour)
	list("*", nil)
	list("news", &gone)
	one := list("reminders", nil)
	take := func(stream string) (n int, err error) {
		err = db.TxAs(t.Context(), org, func(tx pgx.Tx) error {
			list, err := store.UnsuppressAddress(t.Context(), tx, org, "a@EXAMPLE.in", stream)
			n = len(list)
			return err
		})
		return n, err
	}
	if n, err := take("elsewhere"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %d, %v", n, err)
	}
	err := db.TxAs(t.Context(), org, func(tx pgx.Tx) error {
		kept, err := store.SuppressionOf(t.Context(), tx, org, "A@example.in", "reminders")
		if err != nil || kept == nil || kept.ID != one.ID {
			t.Errorf("got %+v, %v", kept, err)
		}
		if over, err := store.SuppressionOf(t.Context(), tx, org, "A@example.in", "news"); err != nil || over != nil {
			t.Errorf("one that is over: %+v, %v", over, err)
		}
		_, err = store.Unsuppress(t.Context(), tx, org, one.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := take(""); n != 2 || err != nil {
		t.Errorf("got %d, %v, want the one for all streams and the one that is over", n, err)
	}
	if n, err := take(""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %d, %v", n, err)
	}
}
