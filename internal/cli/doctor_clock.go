package cli

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// Beyond it tokens, times of backups and the windows of limits no longer agree between machines.
const mostSkew = 2 * time.Second

// clock compares a server's time, told between two moments here, with this machine's.
func (d *doctor) clock(name string, before, after, theirs time.Time) {
	check := "clock of " + name
	var off time.Duration
	switch {
	case theirs.Before(before):
		off = before.Sub(theirs)
	case theirs.After(after):
		off = theirs.Sub(after)
	}
	if off > mostSkew {
		way := "ahead of"
		if theirs.Before(before) {
			way = "behind"
		}
		d.say(uneasy, check, "let both machines keep time by NTP (chrony, systemd-timesyncd)", "it is %s %s this machine's", off.Round(time.Second/10), way)
		return
	}
	d.say(fine, check, "", "agrees with this machine's within %s", mostSkew)
}

// databaseClock compares the time by which everything in the product is judged.
func (d *doctor) databaseClock(ctx context.Context, db *store.DB) {
	before := time.Now()
	b, err := db.DatabaseBlocks(ctx)
	if err != nil {
		d.say(uneasy, "clock of postgres", "look at the server's log", "%v", err)
		return
	}
	d.clock("postgres", before, time.Now(), b.At)
}
