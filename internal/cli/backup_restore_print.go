package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/backup"
)

// printRestorePlan says what a restore would do.
func printRestorePlan(a *app, p backup.RestorePlan) {
	m := p.Manifest
	fmt.Fprintf(a.stdout, "backup    %s: %d tables with %d rows, of %s\n", m.Name, len(m.Tables), m.Rows(), moment(&m.SnapshotAt))
	for _, o := range p.PassedOver {
		fmt.Fprintf(a.stdout, "passed    %s, which is newer, is passed over: %s\n", o.Name, o.Why)
	}
	if p.Doubt != "" {
		fmt.Fprintf(a.stdout, "WARNING   this backup was %s\n          Another may be whole: payaid backup list\n", p.Doubt)
	}
	fmt.Fprintf(a.stdout, "server    Postgres %s; the dump is of Postgres %s\n", p.Server, m.ServerVersion)
	if p.Before == "" {
		fmt.Fprintf(a.stdout, "database  %s is made\n", p.Database)
	} else {
		fmt.Fprintf(a.stdout, "database  %s is made anew; the present one stays as %s, and its %d sessions are ended\n", p.Database, p.Before, p.Sessions)
	}
	if len(p.NewRoles) > 0 {
		fmt.Fprintf(a.stdout, "roles     %s are made, without the right to log in\n", strings.Join(p.NewRoles, ", "))
	}
	fmt.Fprintf(a.stdout, "lost      what was written in the last %s, since the backup\n", roughly(time.Since(m.SnapshotAt)))
}

// roughly is a span as people say it.
func roughly(d time.Duration) time.Duration {
	switch {
	case d > time.Hour:
		return d.Round(time.Minute)
	case d > time.Second:
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// print says what was done, what was lost, and what is next.
func (r *restoring) print(a *app, done backup.Restored, asIs bool) {
	fmt.Fprintf(a.stdout, "restored  %s in %s: all %d tables with %d rows are as the manifest says\n", done.Database, roughly(done.Took), done.Tables, done.Rows)
	for _, note := range done.Notes {
		fmt.Fprintf(a.stdout, "note      %s\n", note)
	}
	if done.Before != "" {
		fmt.Fprintf(a.stdout, "kept      the database of before, as %s; drop it when nobody needs it any more\n", done.Before)
	}
	if asIs {
		fmt.Fprintf(a.stdout, "as it is  start nothing on it: it would go on where the backup was taken, beside those who have gone on since\n")
		return
	}
	if len(r.migrated) > 0 {
		fmt.Fprintf(a.stdout, "migrated  %d steps, to what this program knows\n", len(r.migrated))
	}
	v := r.revived
	fmt.Fprintf(a.stdout, "revived   %d events go out again; %d jobs that were under way begin again, %d in their last attempt have failed; %d schedules go on with their next time\n",
		v.Events, v.GivenBack, v.Ended, v.Schedules)
	if v.Mails > 0 {
		fmt.Fprintf(a.stdout, "note      %d mails wait; those that went out after the backup go out again\n", v.Mails)
	}
	switch {
	case r.redisURL == "":
		fmt.Fprintf(a.stdout, "note      no REDIS_URL was given: the first worker empties the cache; until then it may answer from after the backup\n")
	case r.forgotten != nil:
		fmt.Fprintf(a.stdout, "note      the cache could not be emptied (%v): the first worker does it; until then it may answer from after the backup\n", r.forgotten)
	}
	r.printNext(a, done)
}

func (r *restoring) printNext(a *app, done backup.Restored) {
	fmt.Fprintf(a.stdout, `lost      what was written in the %s between the backup (%s) and now. Invoice numbers given in that time are given
          again, keys revoked in it are valid again, and answers to mails of it name what is not there
next      1. Restart the workers (those of before end by themselves); relay and API go on by themselves
          2. See that all is well: payaid doctor
          3. Make a backup: payaid backup now
`, roughly(done.Lost), moment(&done.Manifest.SnapshotAt))
	if done.Before == "" {
		fmt.Fprintf(a.stdout, "          First set DATABASE_URL of all processes to %s. If the old database still works, give the new one a NATS of its own.\n", done.Database)
	}
}

// progressOn tells of progress on a terminal, and of nothing elsewhere.
func progressOn(a *app) func(backup.Progress) {
	file, ok := a.stderr.(*os.File)
	if !ok {
		return nil
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(p backup.Progress) {
		share := ""
		if p.Total > 0 {
			share = fmt.Sprintf(" %3d%%", p.Bytes*100/p.Total)
		}
		fmt.Fprintf(file, "\r%-12s%s\x1b[K\r", p.Stage, share)
	}
}
