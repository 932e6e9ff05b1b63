package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// Many organizations, so that a list of all has to find theirs; what is rare is old.
const fillForAll = `
INSERT INTO organizations (id, name, state)
SELECT ('0197bbbb-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Organization ' || n, 'KA' FROM generate_series(1, 2000) n;

CREATE TEMP TABLE every AS
SELECT n, ('0197bbbb-0000-7000-8000-' || lpad(to_hex(n % 2000 + 1), 12, '0'))::uuid AS organization_id,
       ('0197cccc-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id
FROM generate_series(1, 40000) n;

INSERT INTO mail_messages (organization_id, id, state, stream, template)
SELECT organization_id, id, CASE WHEN n <= 20 THEN 'unknown' WHEN n <= 80 THEN (ARRAY['failed', 'suppressed', 'cancelled'])[n % 3 + 1] ELSE 'accepted' END, 'transactional', 'invoice' FROM every;

INSERT INTO mail_recipients (organization_id, message_id, position, field, address, state, queue_id)
SELECT organization_id, id, 1, 'to', CASE WHEN n <= 20 THEN 'r' || n || '@rare.example' WHEN n % 2 = 0 THEN 'Info@busy.example' ELSE 'c' || n || '@busy.example' END,
       'accepted', 'Q' || n FROM every;

INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, started_at)
SELECT organization_id, id, id, 1, 'ai.chat', CASE WHEN n % 2 = 0 THEN 'ollama' ELSE 'groq' END, 'm', 'ok', now() FROM every;

INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, event_id, created_at)
SELECT organization_id, id, 'ai.chat', 'ai', 1, '{}', id, timestamptz '2025-07-01' + n * interval '1 minute' FROM every;

INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
SELECT id, id, 'https://x.example/', '{*}', 'whsec_' || repeat('x', 44) FROM organizations;

INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, next_attempt_at, finished_at, created_at)
SELECT organization_id, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, organization_id,
       organization_id, id, 'invoice.paid', 'event', CASE WHEN n <= 20 THEN 'failed' ELSE 'succeeded' END, NULL, now(), at
FROM (SELECT *, timestamptz '2025-07-01' + n * interval '1 minute' AS at FROM every) AS each`

// asOperator fills a database, and has what an operator asks of all organizations recorded, and explained on a connection.
func asOperator(t *testing.T, fill string) (*store.DB, *tape, *pgx.Conn) {
	t.Helper()
	url := newDatabase(t)
	owner := connect(t, url)
	for _, sql := range append(strings.Split(fill, ";\n"), `VACUUM ANALYZE`) {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	tape := &tape{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 2, Tracer: tape})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	system := connect(t, url)
	if _, err := system.Exec(t.Context(), `SET ROLE payaid_system`); err != nil {
		t.Fatal(err)
	}
	return db, tape, system
}

// TestPlansForAll: what operators list over all organizations is read through indexes, about as many rows as are shown.
func TestPlansForAll(t *testing.T) {
	t.Parallel()
	db, tape, system := asOperator(t, fillForAll)
	for name, ask := range listsForAll() {
		call := func() error {
			return db.AsOperator(t.Context(), time.Minute, func(tx pgx.Tx) error { return ask(t.Context(), tx) })
		}
		for _, s := range tape.heardOf(t, call) {
			for _, fault := range faultsOf(explain(t, system, s)) {
				t.Errorf("%s: %s\n%s", name, fault, s.sql)
			}
		}
	}
}

func listsForAll() map[string]func(context.Context, pgx.Tx) error {
	const middle, one = "0197cccc-0000-7000-8000-000000004e20", "0197bbbb-0000-7000-8000-000000000064"
	all := make(map[string]func(context.Context, pgx.Tx) error)
	for name, f := range map[string]store.AnyMailFilter{
		"": {}, "page": {Before: middle}, "of an organization": {OrganizationID: one}, "of a state": {State: "accepted"},
		"unknown": {State: "unknown"}, "failed": {State: "failed"}, "suppressed": {State: "suppressed"}, "cancelled": {State: "cancelled"},
		"cancelled, page": {State: "cancelled", Before: "0197cccc-0000-7000-8000-000000000040"}, "to an address": {Address: "R7@rare.example"}, "to a busy address": {Address: "info@busy.example"},
		"to a busy address, page": {Address: "info@busy.example", Before: middle}, "to a rare domain": {Domain: "rare.example"},
		"to a busy domain": {Domain: "busy.example"}, "to nobody's domain": {Domain: "none.example"}, "of a queue id": {QueueID: "Q777"}, "by id": {ID: middle},
	} {
		f.Limit = pageOfTheLists
		all["mails "+name] = func(ctx context.Context, tx pgx.Tx) error { _, err := store.AnyMails(ctx, tx, f); return err }
	}
	for name, f := range map[string]store.AICallFilter{
		"": {}, "page": {Before: middle}, "of an organization": {OrganizationID: one}, "of a provider": {Provider: "groq"},
		"of an organization's provider": {OrganizationID: one, Provider: "groq"},
	} {
		f.Limit = pageOfTheLists
		all["calls "+name] = func(ctx context.Context, tx pgx.Tx) error { _, err := store.AICalls(ctx, tx, f); return err }
	}
	first := time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC)
	for name, f := range map[string]store.AdminDeliveryFilter{
		"": {}, "page": {Behind: middle}, "of the last day": {After: first.Add(39_000 * time.Minute)}, "of an hour long ago": {After: first.Add(time.Hour), Before: first.Add(2 * time.Hour)},
		"of a day long ago, page": {After: first, Before: first.Add(24 * time.Hour), Behind: "0197c3d0-0000-7000-8000-000000000000"},
		"of an organization":      {OrganizationID: one}, "of an endpoint": {OrganizationID: one, EndpointID: one}, "failed": {Status: store.Failed, After: first},
		"of an organization, of a day": {OrganizationID: one, After: first.Add(39_000 * time.Minute)}, "succeeded": {Status: store.Succeeded, After: first},
	} {
		f.Limit = pageOfTheLists
		all["deliveries "+name] = func(ctx context.Context, tx pgx.Tx) error { _, err := store.AdminDeliveries(ctx, tx, f); return err }
	}
	all["whose a delivery is"] = func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := store.OwnerOfDelivery(ctx, tx, middle)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	}
	return all
}

// A list that is read page by page shows each mail to an address once, however many there are.
func TestMailsToABusyAddressInPages(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner := connect(t, url)
	for _, sql := range []string{`INSERT INTO organizations (id, name, state) VALUES ('0197bbbb-0000-7000-8000-000000000001', 'x', 'KA')`,
		`INSERT INTO mail_messages (organization_id, id, state, stream) SELECT '0197bbbb-0000-7000-8000-000000000001', ('0197cccc-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
			CASE WHEN n % 2 = 0 THEN 'accepted' ELSE 'queued' END, 'news' FROM generate_series(1, 120) n`,
		`INSERT INTO mail_recipients (organization_id, message_id, position, field, address) SELECT organization_id, id, 1, 'to', 'Info@Busy.example' FROM mail_messages`} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, url, store.App)
	for want, f := range map[int]store.AnyMailFilter{120: {Address: "info@BUSY.example"}, 60: {Address: "info@busy.example", State: "queued"}} {
		f.Limit = 50
		seen := make(map[string]bool)
		for {
			var page []store.AnyMail
			err := db.AsOperator(t.Context(), time.Minute, func(tx pgx.Tx) (err error) {
				page, err = store.AnyMails(t.Context(), tx, f)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				seen[m.ID] = true
				f.Before = m.ID
			}
			if len(page) < f.Limit {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%+v: %d mails, want %d", f, len(seen), want)
		}
	}
}
