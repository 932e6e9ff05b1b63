package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
)

const (
	// backupSlack is what a backup may be late: a day's is old after 26 hours.
	backupSlack = 2 * time.Hour
	// provenWithin is how old the newest backup may be of which somebody knows that it can be restored.
	provenWithin = 8 * 24 * time.Hour
	// proofSoon is when a backup should have been restored for a try that was never.
	proofSoon = 3 * time.Hour

	makeOne = "make one: `payaid backup now`; and see why the clock did not: `payaid jobs list`"
)

// oldestGood is how old the newest backup may be where they are made by this schedule; a day's where it is not known.
func oldestGood(schedule string, now time.Time) time.Duration {
	const daily = 24 * time.Hour
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		return daily + backupSlack
	}
	next := s.Next(now.UTC())
	return max(daily, s.Next(next).Sub(next)) + backupSlack
}

// history looks at what the database knows of backups.
func (d *doctor) history(ctx context.Context, db *store.DB) {
	o, err := db.BackupOverview(ctx, "", 1)
	if err != nil {
		d.say(broken, "backups", "run `payaid migrate`", "%v", err)
		return
	}
	d.backups(o, time.Now())
}

func (d *doctor) backups(o store.BackupOverview, now time.Time) {
	const check = "backups"
	schedule := ""
	if o.Schedule == nil {
		d.say(uneasy, "backup schedule", "run a worker of the queue maintenance with BACKUP_DIR, and with a BACKUP_SCHEDULE that is not off", "the clock starts no backups")
	} else {
		schedule = o.Schedule.Cron
		d.say(fine, "backup schedule", "", "%s (UTC), next at %s", schedule, o.Schedule.NextRunAt.UTC().Format(time.RFC3339))
	}
	if f := o.Failed; f != nil && (o.Newest == nil || f.StartedAt.After(o.Newest.StartedAt)) {
		if p := f.Problem(); p != nil {
			d.say(broken, check, p.Remedy, "the last one failed: %s", p.Detail)
			return
		}
	}
	n := o.Newest
	if n == nil {
		if s := o.Schedule; s != nil && s.LastRunAt != nil && now.Sub(*s.LastRunAt) > backupSlack && o.Running == 0 {
			d.say(broken, check, makeOne, "there is none, and one was started at %s", s.LastRunAt.UTC().Format(time.RFC3339))
			return
		}
		d.say(uneasy, check, "make one: `payaid backup now`", "there is none yet")
		return
	}
	if age := now.Sub(*n.SnapshotAt); age > oldestGood(schedule, now) {
		d.say(broken, check, makeOne, "the newest is of %s, %.0f hours ago: a loss would cost all since", n.SnapshotAt.UTC().Format(time.RFC3339), age.Hours())
	} else {
		d.say(fine, check, "", "the newest is of %s, %s", n.SnapshotAt.UTC().Format(time.RFC3339), bytesIn(*n.Bytes))
	}
	d.proof(o, now)
}

// proof looks whether anybody knows that the backups can be restored.
func (d *doctor) proof(o store.BackupOverview, now time.Time) {
	const check = "backup verification"
	n := o.Newest
	t := n.Trial()
	switch {
	case t != nil && t.State == backup.Failed:
		d.say(broken, check, "make a new backup, and find out what is wrong with the disk or the server", "%s is no good: %s", n.Name, t.Detail)
	case t != nil && t.State == backup.Impossible:
		d.say(uneasy, check, "give a worker what it lacks, or try it elsewhere: `payaid backup verify`", "%s could not be restored for a try: %s", n.Name, t.Detail)
	case o.Proven == nil && now.Sub(*n.SnapshotAt) > proofSoon, o.Proven != nil && now.Sub(*o.Proven.SnapshotAt) > provenWithin:
		d.say(broken, check, "try it: `payaid backup verify`; by itself that follows each backup, unless BACKUP_VERIFY is false",
			"nobody knows whether backups can be restored: none of the last %d days was tried", int(provenWithin.Hours()/24))
	case o.Proven == nil:
		d.say(uneasy, check, "wait for it, or try it: `payaid backup verify`", "none was restored for a try yet")
	default:
		d.say(fine, check, "", "%s was restored, and all was in it", o.Proven.Name)
	}
}

// keeper looks at the folder of backups and at the second place, and whether a backup could be made now.
func (d *doctor) keeper(ctx context.Context, x examination) {
	const check = "backup folder"
	k, err := x.backups.keeper(x.DatabaseURL, slog.New(slog.DiscardHandler))
	if err != nil {
		d.say(broken, check, "check the BACKUP_ settings", "%v", err)
		return
	}
	if k == nil {
		d.say(fine, check, "", "not known here (BACKUP_DIR is not set)")
		return
	}
	var fault *backup.Fault
	switch err := k.Check(ctx); {
	case errors.As(err, &fault):
		d.say(broken, check, fault.Remedy, "no backup can be made: %s", fault.Detail)
	case err != nil:
		d.say(broken, check, "check the BACKUP_ settings", "no backup can be made: %v", err)
	default:
		d.say(fine, check, "", "a backup can be made into %s", k.Dir)
	}
	if len(k.Recipients) > 0 && len(k.Identities) == 0 {
		d.say(uneasy, "backup keys", "have it verified where the key is, or set BACKUP_AGE_IDENTITY for workers", "backups are encrypted, and here is no key to verify them with")
	}
	d.files(ctx, k, x.backups.schedule)
	if k.Remote == nil {
		return
	}
	if _, err := k.Remote.List(ctx); err != nil {
		remedy := "check BACKUP_S3_…"
		if errors.As(err, &fault) {
			remedy, err = fault.Remedy, errors.New(fault.Detail)
		}
		d.say(broken, "backup second place", remedy, "%v", err)
		return
	}
	d.say(fine, "backup second place", "", "answers")
}

// files holds what lies in the folder against its manifests and its age: the folder is what is restored from.
func (d *doctor) files(ctx context.Context, k *backup.Keeper, schedule string) {
	const check = "backup files"
	list, err := k.List(ctx)
	if err != nil {
		return // Check has said so
	}
	for _, e := range list {
		if e.Problem != nil {
			d.say(uneasy, check, e.Problem.Remedy, "%s: %s", e.Name, e.Problem.Detail)
			break
		}
	}
	good := slices.IndexFunc(list, backup.Entry.Good)
	if good < 0 {
		return // the table's check says what that means
	}
	taken := list[good].Manifest.SnapshotAt
	if age := time.Since(taken); age > oldestGood(schedule, time.Now()) {
		d.say(broken, check, makeOne, "the newest good one is of %s, %.0f hours ago", taken.UTC().Format(time.RFC3339), age.Hours())
		return
	}
	d.say(fine, check, "", "%s, the newest of %s", counted(len(list), "backup"), taken.UTC().Format(time.RFC3339))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
