package store_test

import (
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// Where nothing has happened yet nothing is missing, whichever role asks.
func TestScrapeOfAnEmptyInstallation(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	for _, role := range []store.Role{store.App, store.System} {
		s, err := open(t, url, role).Scrape(t.Context(), []string{"ai", "mail"})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Jobs) != 2*5 || len(s.Waits) != 2*2 || len(s.Workers) != 2 || len(s.Mails) != 4 {
			t.Errorf("as %s: got %+v", role, s)
		}
		if s.Database.MaxConnections == 0 || s.Database.Connections == 0 || s.Database.Bytes == 0 {
			t.Errorf("as %s: got %+v", role, s.Database)
		}
		if s.Backups != (store.BackupUse{}) || s.Indexes.SampledAt != nil || s.Dead != 0 || s.Behind.Events != 0 {
			t.Errorf("as %s: got %+v, %+v", role, s.Backups, s.Indexes)
		}
	}
}

const fillScrape = `
INSERT INTO river_job (state, queue, priority, scheduled_at, kind, args, max_attempts, finalized_at, attempted_at, attempt)
VALUES ('available', 'ai', 2, now() - interval '10 s', 'x', '{}', 3, NULL, NULL, 0),
       ('available', 'ai', 4, now() - interval '1 h', 'x', '{}', 3, NULL, NULL, 0),
       ('available', 'mail', 1, now() + interval '1 h', 'x', '{}', 3, NULL, NULL, 0),
       ('scheduled', 'mail', 3, now() - interval '40 s', 'x', '{}', 3, NULL, NULL, 0),
       ('scheduled', 'mail', 3, now() + interval '1 day', 'x', '{}', 3, NULL, NULL, 0),
       ('retryable', 'ai', 2, now() + interval '1 h', 'x', '{}', 3, NULL, now(), 1),
       ('running', 'ai', 2, now() - interval '1 day', 'x', '{}', 3, NULL, now(), 1),
       ('available', 'nobody''s', 1, now() - interval '1 day', 'x', '{}', 3, NULL, NULL, 0),
       ('completed', 'ai', 1, now() - interval '1 day', 'x', '{}', 3, now(), now(), 1);

INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at)
VALUES ('a', 'x', 1, '{"ai": 2, "mail": 8}', 'x', now()), ('b', 'x', 2, '{"ai": 3}', 'x', now()),
       ('dead', 'x', 3, '{"ai": 100}', 'x', now() - interval '1 min');

INSERT INTO schedules (name, kind, cron, last_run_at, next_run_at)
VALUES ('late', 'x', '0 2 * * *', now() - interval '1 day', now() - interval '20 min'), ('new', 'x', '0 2 * * *', NULL, now() + interval '1 h');

INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason, redriven_at)
VALUES ('router', 1, 's', '{}', '', 'r', NULL), ('router', 2, 's', '{}', '', 'r', now());

INSERT INTO backups (id, name, state, host, manifest, error, started_at, snapshot_at, finished_at, bytes, verified_at, restore_seconds)
VALUES (gen_random_uuid(), 'old', 'completed', 'x', '{}', NULL, now() - interval '49 h', now() - interval '49 h', now() - interval '48 h', 10, now() - interval '47 h', 12.5),
       (gen_random_uuid(), 'good', 'completed', 'x', '{}', NULL, now() - interval '25 h', now() - interval '25 h', now() - interval '24 h', 20, NULL, NULL),
       (gen_random_uuid(), 'bad', 'failed', 'x', NULL, '{"code": "disk_full"}', now() - interval '1 h', NULL, now() - interval '1 h', NULL, NULL, NULL),
       (gen_random_uuid(), 'gone', 'deleted', 'x', '{}', NULL, now() - interval '2 h', now() - interval '2 h', now() - interval '2 h', 99, now() - interval '1 h', 1),
       (gen_random_uuid(), 'now', 'running', 'x', NULL, NULL, now(), NULL, NULL, NULL, NULL, NULL);

INSERT INTO index_sample_runs (id, taken_at, system_identifier, database_oid, server_started_at, server_version, indexes, index_scans, blocks_hit, blocks_read, took_us, findings)
VALUES (gen_random_uuid(), now() - interval '2 h', 1, 1, now(), 1, 1, 1, 1, 1, 1, '{"unused": 9}'),
       (gen_random_uuid(), now() - interval '1 h', 1, 1, now(), 1, 1, 1, 1, 1, 1, '{"unused": 2, "bloated": 1, "odd": "text"}');`

// Each figure counts what it is about, and nothing beside it.
func TestScrape(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	if _, err := connect(t, url).Exec(t.Context(), fillScrape); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, url, store.System).Scrape(t.Context(), []string{"ai", "mail"})
	if err != nil {
		t.Fatal(err)
	}
	about := func(what string, got time.Duration, want time.Duration) {
		t.Helper()
		if got < want || got > want+time.Minute {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	counts := map[store.QueueJobs]bool{}
	for _, q := range s.Jobs {
		if q.Jobs != 0 {
			counts[q] = true
		}
	}
	for _, want := range []store.QueueJobs{{"ai", "available", 2}, {"ai", "running", 1}, {"ai", "retryable", 1}, {"mail", "available", 1}, {"mail", "scheduled", 2}} {
		if !counts[want] {
			t.Errorf("%+v is missing in %+v", want, counts)
		}
	}
	if len(counts) != 5 {
		t.Errorf("got %+v", counts)
	}
	oldest := map[string]time.Duration{}
	for _, w := range s.Waits {
		name := w.Queue
		if w.Beyond {
			name += " beyond"
		}
		oldest[name] = w.Oldest
	}
	about("ai", oldest["ai"], 10*time.Second)
	about("ai beyond the share", oldest["ai beyond"], time.Hour)
	about("mail that is due and waits for River's leader", oldest["mail"], 40*time.Second)
	if oldest["mail beyond"] != 0 {
		t.Errorf("mail beyond the share: %s", oldest["mail beyond"])
	}
	for _, w := range s.Workers {
		if want := map[string]store.QueueWorkers{"ai": {"ai", 2, 5}, "mail": {"mail", 1, 8}}[w.Queue]; w != want {
			t.Errorf("got %+v, want %+v", w, want)
		}
	}
	about("the late schedule", s.Overdue["late"], 20*time.Minute)
	if len(s.Schedules) != 2 || s.Overdue["new"] != 0 || s.Schedules[1].LastRunAt != nil {
		t.Errorf("got %+v, %v", s.Schedules, s.Overdue)
	}
	b := s.Backups
	about("the newest backup", time.Since(*b.LastSuccess), 24*time.Hour)
	about("its data", time.Since(*b.LastSnapshot), 25*time.Hour)
	about("the newest verification", time.Since(*b.LastVerified), 47*time.Hour)
	about("how long it took", *b.Took, time.Hour)
	if !b.LastFailed || *b.Bytes != 20 || *b.Restore != 12500*time.Millisecond || b.Kept != 2 || b.Failed != 1 {
		t.Errorf("got %+v", b)
	}
	if s.Dead != 1 || len(s.Indexes.Findings) != 2 || s.Indexes.Findings["unused"] != 2 || s.Indexes.Invalid != 0 {
		t.Errorf("%d dead events, indexes %+v", s.Dead, s.Indexes)
	}
	about("the newest sample", time.Since(*s.Indexes.SampledAt), time.Hour)
}
