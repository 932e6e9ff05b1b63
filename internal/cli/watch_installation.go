package cli

import (
	"context"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/metrics"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// What is read of the installation is good for so long: two servers of Prometheus that ask every 15 s cost no more
// than one.
const installationEvery = 10 * time.Second

// database shows what Postgres knows of the whole installation.
func (s *sources) database(db *store.DB, table []jobs.Job) {
	queues := queueNames(table)
	s.add("database", installationEvery, func(ctx context.Context, sheet *metrics.Sheet) error {
		now, err := db.Scrape(ctx, queues)
		if err != nil {
			return err
		}
		setQueues(sheet, now)
		setSchedules(sheet, now, table)
		setDatabase(sheet, now.Database)
		setBackups(sheet, now.Backups)
		sheet.Set(metrics.IndexesInvalid, float64(now.Indexes.Invalid))
		sheet.SetTime(metrics.IndexSampled, now.Indexes.SampledAt)
		for kind, n := range now.Indexes.Findings {
			sheet.Set(metrics.IndexFindings, float64(n), kind)
		}
		for state, n := range now.Mails {
			sheet.Set(metrics.MailMessages, float64(n), state)
		}
		sheet.Set(metrics.MailOldest, now.OldestDue.Seconds())
		setWebhooks(sheet, now.Webhooks)
		sheet.Set(metrics.DeadEvents, float64(now.Dead))
		sheet.Set(metrics.RouterUnrouted, float64(now.Behind.Events))
		sheet.Set(metrics.RouterOldest, now.Behind.Oldest.Seconds())
		return nil
	})
}

func queueNames(table []jobs.Job) []string {
	names := make(map[string]bool)
	for _, q := range jobs.Queues() {
		names[q.Name] = true
	}
	for _, j := range table {
		names[j.Spec.Queue.Name] = true
	}
	return sortedNames(names)
}

func setQueues(sheet *metrics.Sheet, now store.Scrape) {
	for _, q := range now.Jobs {
		sheet.Set(metrics.QueueJobs, float64(q.Jobs), q.Queue, q.State)
	}
	for _, q := range now.Waits {
		share := "fair"
		if q.Beyond {
			share = "beyond"
		}
		sheet.Set(metrics.QueueOldest, q.Oldest.Seconds(), q.Queue, share)
	}
	for _, q := range now.Workers {
		sheet.Set(metrics.QueueWorkers, float64(q.Workers), q.Queue)
		sheet.Set(metrics.QueuePlaces, float64(q.Places), q.Queue)
	}
}

// setSchedules leaves out what an older version has left in the table.
func setSchedules(sheet *metrics.Sheet, now store.Scrape, table []jobs.Job) {
	known := make(map[string]bool)
	for _, j := range table {
		known[j.Kind] = true
	}
	for _, one := range now.Schedules {
		if !known[one.Kind] {
			continue
		}
		sheet.SetTime(metrics.ScheduleLast, one.LastRunAt, one.Name)
		sheet.SetTime(metrics.ScheduleNext, &one.NextRunAt, one.Name)
		sheet.Set(metrics.ScheduleOverdue, now.Overdue[one.Name].Seconds(), one.Name)
	}
}

func setDatabase(sheet *metrics.Sheet, d store.DatabaseUse) {
	sheet.Set(metrics.DBConnections, float64(d.Connections))
	sheet.Set(metrics.DBMaxConnections, float64(d.MaxConnections))
	sheet.Set(metrics.DBDeadlocks, float64(d.Deadlocks))
	sheet.Set(metrics.DBBlocks, float64(d.Hits), "hit")
	sheet.Set(metrics.DBBlocks, float64(d.Reads), "read")
	sheet.Set(metrics.DBCommits, float64(d.Commits))
	sheet.Set(metrics.DBRollbacks, float64(d.Rollbacks))
	sheet.Set(metrics.DBSize, float64(d.Bytes))
}

func setWebhooks(sheet *metrics.Sheet, w store.WebhookStanding) {
	sheet.Set(metrics.WebhookPending, float64(w.Pending))
	oldest := time.Duration(0)
	if w.OldestPending != nil {
		oldest = *w.OldestPending
	}
	sheet.Set(metrics.WebhookOldest, oldest.Seconds())
	sheet.Set(metrics.WebhookBacklog, w.Backlog.Seconds())
	sheet.Set(metrics.WebhookReceivers, float64(w.Paused), "paused")
	sheet.Set(metrics.WebhookReceivers, float64(w.Failing), "failing")
	sheet.Set(metrics.WebhookEndpoints, float64(w.Enabled), "enabled")
	for code, n := range w.Disabled {
		sheet.Set(metrics.WebhookEndpoints, float64(n), code)
	}
}

func setBackups(sheet *metrics.Sheet, b store.BackupUse) {
	sheet.SetTime(metrics.BackupLastSuccess, b.LastSuccess)
	sheet.SetTime(metrics.BackupLastSnapshot, b.LastSnapshot)
	sheet.SetTime(metrics.BackupLastVerified, b.LastVerified)
	sheet.Set(metrics.BackupLastFailed, metrics.One(b.LastFailed))
	sheet.Set(metrics.Backups, float64(b.Kept), "completed")
	sheet.Set(metrics.Backups, float64(b.Failed), "failed")
	if b.Took != nil {
		sheet.Set(metrics.BackupTook, b.Took.Seconds())
	}
	if b.Bytes != nil {
		sheet.Set(metrics.BackupBytes, float64(*b.Bytes))
	}
	if b.Restore != nil {
		sheet.Set(metrics.BackupRestore, b.Restore.Seconds())
	}
}

// stream shows the event stream, and what it lacks.
func (s *sources) stream(db *store.DB, events *stream.Stream) {
	s.add("stream", installationEvery, func(ctx context.Context, sheet *metrics.Sheet) error {
		extent, err := events.Extent(ctx)
		if err != nil {
			return err
		}
		sheet.Set(metrics.StreamFirst, float64(extent.First))
		sheet.Set(metrics.StreamLast, float64(extent.Last))
		sheet.Set(metrics.StreamBytes, float64(extent.Bytes))
		last, err := events.Tail(ctx)
		if err != nil {
			return err
		}
		unsent, oldest, err := outbox.Backlog(ctx, db.Pool(), last)
		if err != nil {
			return err
		}
		sheet.Set(metrics.OutboxUnsent, float64(unsent))
		sheet.Set(metrics.OutboxOldest, oldest.Seconds())
		routed, err := store.ReadPosition(ctx, db.Pool(), outbox.Router)
		if err != nil {
			return err
		}
		sheet.Set(metrics.RouterLag, float64(max(last.Seq, routed.StreamSeq)-routed.StreamSeq))
		return nil
	})
}
