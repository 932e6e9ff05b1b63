package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	// A tick of the clock that is so late is nobody's: workers look every second.
	scheduleSlack = 10 * time.Minute
	// A backup that the clock started is expected within it; a database whose dump takes longer shows as running.
	backupSlack = time.Hour
	// Verification follows each backup, and takes longer than it: of daily ones the last may be missing.
	proofSlack = 36 * time.Hour
)

// backupProblems are what somebody should see to, the gravest first.
func backupProblems(o store.BackupOverview, now time.Time) []backupProblemView {
	list := []backupProblemView{}
	add := func(code, detail, remedy string) { list = append(list, backupProblemView{code, detail, remedy}) }
	if o.Newest == nil {
		add("no_backup", "there is no backup", "make one: `payaid backup now`")
	}
	if f := o.Failed; f != nil && (o.Newest == nil || f.StartedAt.After(o.Newest.StartedAt)) {
		if p := f.Problem(); p != nil {
			add(p.Code, fmt.Sprintf("%s failed: %s", f.Name, p.Detail), p.Remedy)
		}
	}
	list = append(list, scheduleProblems(o, now)...)
	if o.Newest != nil {
		list = append(list, proofProblems(o, now)...)
	}
	if n := o.Newest; n != nil && !slices.Contains(n.Places, "remote") && (n.NotCopied != nil || o.Copied && now.Sub(*n.SnapshotAt) > backupSlack) {
		why := n.Name + " is not in the second place"
		if n.NotCopied != nil {
			why += ": " + *n.NotCopied
		}
		add("not_copied", why, "look at the second place (BACKUP_S3_…); what is missing is brought there every ten minutes")
	}
	return list
}

func scheduleProblems(o store.BackupOverview, now time.Time) []backupProblemView {
	s := o.Schedule
	switch {
	case s == nil:
		return []backupProblemView{{"no_schedule", "the clock starts no backups", "run a worker with BACKUP_DIR, and with a BACKUP_SCHEDULE that is not off"}}
	case s.PausedAt != nil:
		return []backupProblemView{{"schedule_paused", fmt.Sprintf("the clock starts no backups, as somebody paused them at %s", s.PausedAt.UTC().Format(time.RFC3339)), "let the schedule go on"}}
	case now.Sub(s.NextRunAt) > scheduleSlack:
		return []backupProblemView{{"schedule_late", fmt.Sprintf("the backup of %s was not started", s.NextRunAt.UTC().Format(time.RFC3339)), "run a worker"}}
	case s.LastRunAt != nil && now.Sub(*s.LastRunAt) > backupSlack && o.Running == 0 && (o.Newest == nil || o.Newest.SnapshotAt.Before(*s.LastRunAt)):
		return []backupProblemView{{"overdue", fmt.Sprintf("the backup that was started at %s is not there", s.LastRunAt.UTC().Format(time.RFC3339)),
			"look at its job: `payaid jobs list`; a worker of the queue maintenance with BACKUP_DIR makes it"}}
	}
	return nil
}

// proofProblems say that nobody knows whether the newest backup can be restored, or that it can't.
func proofProblems(o store.BackupOverview, now time.Time) []backupProblemView {
	n := *o.Newest
	t := n.Trial()
	switch {
	case t != nil && t.State == "failed":
		return []backupProblemView{{t.Code, fmt.Sprintf("%s was restored for a try, and is no good: %s", n.Name, t.Detail), "make a new backup, and find out what is wrong with the disk or the server"}}
	case t != nil && t.State == "impossible":
		return []backupProblemView{{t.Code, fmt.Sprintf("%s could not be restored for a try: %s", n.Name, t.Detail), "give a worker what it lacks, or try it elsewhere: `payaid backup verify`"}}
	case o.Proven == nil && now.Sub(*n.SnapshotAt) > backupSlack, o.Proven != nil && n.SnapshotAt.Sub(*o.Proven.SnapshotAt) > proofSlack:
		return []backupProblemView{{"unverified", "nobody tried to restore the newest backups", "try it: `payaid backup verify`; by itself that follows each backup, unless BACKUP_VERIFY is false"}}
	}
	return nil
}
