package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// What was mailed is forgotten with its job, or as long after itself where somebody deleted that; whom not to mail is not.
func TestMailsGoWithTheirJobs(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db := open(t, url, store.System)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Pool().Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	const org, old, young = "0197aaaa-0000-7000-8000-00000000000a", "0197aaaa-0000-7000-8000-00000000000b", "0197aaaa-0000-7000-8000-00000000000c"
	const deleted, justDeleted = "0197aaaa-0000-7000-8000-00000000000d", "0197aaaa-0000-7000-8000-00000000000e"
	exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x')`, org)
	ages := map[string]string{old: "91 days", young: "89 days", deleted: "91 days", justDeleted: "89 days"}
	for id, age := range ages {
		exec(`INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, event_id, status, created_at, finished_at)
			VALUES ($1, $2, 'mail.send', 'mail', 1, '{}', gen_random_uuid(), 'succeeded', now() - $3::interval, now() - $3::interval)`, org, id, age)
		exec(`INSERT INTO mail_messages (organization_id, id, stream, created_at) VALUES ($1, $2, 'transactional', now() - $3::interval)`, org, id, age)
		exec(`INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt, started_at) VALUES ($1, $2, 'k', 'done', 1, now() - $3::interval)`, org, id, age)
		exec(`INSERT INTO mail_recipients (organization_id, message_id, position, field, address) VALUES ($1, $2, 1, 'to', 'a@example.com')`, org, id)
		exec(`INSERT INTO mail_events (organization_id, id, message_id, type) VALUES ($1, gen_random_uuid(), $2, 'accepted')`, org, id)
	}
	if err := db.Tx(t.Context(), func(tx pgx.Tx) error {
		return errors.Join(store.DeleteEndedJob(t.Context(), tx, org, deleted), store.DeleteEndedJob(t.Context(), tx, org, justDeleted))
	}); err != nil {
		t.Fatal(err)
	}
	for address, expires := range map[string]string{"a@example.com": "-31 days", "b@example.com": "-29 days"} {
		exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason, expires_at)
			VALUES ($1, gen_random_uuid(), $2, '*', 'soft_bounce', now() + $3::interval)`, org, address, expires)
	}
	exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason) VALUES ($1, gen_random_uuid(), 'c@example.com', '*', 'complaint')`, org)
	if err := db.CleanUp(t.Context(), store.Retention{Jobs: 90 * 24 * time.Hour, APIKeys: time.Hour, UsageHours: time.Hour, Suppressions: 30 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	const kept = ` IN ('` + young + `', '` + justDeleted + `')`
	for sql, want := range map[string]int{
		`SELECT count(*) FROM mail_messages WHERE id` + kept: 2, `SELECT count(*) FROM mail_messages`: 2,
		`SELECT count(*) FROM job_effects WHERE job_id` + kept: 2, `SELECT count(*) FROM job_effects`: 2,
		`SELECT count(*) FROM mail_recipients`: 2, `SELECT count(*) FROM mail_events`: 2, `SELECT count(*) FROM mail_suppressions`: 2,
	} {
		var got int
		if err := db.Pool().QueryRow(t.Context(), sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", sql, got, err, want)
		}
	}
}
