package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

func TestFactsSayWhichRequestStatedThem(t *testing.T) {
	t.Parallel()
	db := open(t, newDatabase(t))
	came := time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
	of := outbox.Origin{OrganizationID: outbox.NewID(), Request: outbox.Request{Route: "POST /api/jobs", KeyID: "admin", At: came}}
	for _, o := range []outbox.Origin{of, {OrganizationID: of.OrganizationID}} {
		err := db.Tx(t.Context(), func(tx pgx.Tx) error {
			return outbox.Append(t.Context(), tx, o, events.JobCancelled{JobID: outbox.NewID(), Version: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Pool().Query(t.Context(), `SELECT coalesce(route, '-'), coalesce(key_id, '-'), asked_at FROM outbox ORDER BY outbox.xid, outbox.id`)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Route, Key string
		At         *time.Time
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Route != "POST /api/jobs" || got[0].Key != "admin" || !got[0].At.Equal(came) || got[1] != (row{"-", "-", nil}) {
		t.Errorf("got %+v", got)
	}
}

// A day that is made has the indexes by which it is searched from any id, like those that the migration found.
func TestDaysAreIndexed(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, owner := open(t, url), connect(t, url)
	name, _ := day(3)
	if _, err := owner.Exec(t.Context(), `DROP TABLE `+name); err != nil {
		t.Fatal(err)
	}
	partition(t, db)
	for _, part := range partitions(t, db) {
		for _, by := range []string{"event", "subject", "request", "cause", "trace"} {
			var valid bool
			err := owner.QueryRow(t.Context(), `SELECT coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1) AND indrelid = to_regclass($2)), false)`,
				fmt.Sprintf("%s_%s", part, by), part).Scan(&valid)
			if err != nil || !valid {
				t.Errorf("%s by %s: %v, %v", part, by, valid, err)
			}
		}
	}
}
