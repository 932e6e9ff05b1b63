package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

func (g *rig) chain(t *testing.T, id string) (c operator.Chain) {
	t.Helper()
	g.call(t, testAdminKey, "GET", "/api/admin/chain/"+url.PathEscape(id), "").want(200).json(&c)
	return c
}

// outline is a chain as a tree of titles.
func outline(c operator.Chain) string {
	var b strings.Builder
	for _, n := range c.Nodes {
		fmt.Fprintf(&b, "%s%s %s (%s)\n", strings.Repeat(" ", n.Depth), n.Type, n.Title, n.State)
	}
	return b.String()
}

// A chained story is a job that a request handed over, with all that came of it, as a worker, a mail server and a receiver of
// webhooks would have left it.
type chained struct {
	organization, key, request, trace, job, asked, ended, delivery, endpoint, queue string
	river                                                                           int64
}

const hostile = `<script>alert("x")</script>`

func (g *rig) chained(t *testing.T, name string) (s chained) {
	t.Helper()
	s.organization, s.key = g.organization(t)
	s.request, s.trace, s.queue = "web/7f:+="+name, "0af7651916cd43dd8448eb211c80319c", "4XyZ9qPostfix"+name
	if name != "" {
		s.trace = "1" + s.trace[1:]
	}
	j := g.call(t, s.key, "POST", "/api/jobs", `{"kind":"mail.send","input":{}}`, "X-Request-ID", s.request,
		"Traceparent", "00-"+s.trace+"-b7ad6b7169203331-01").want(202).job()
	s.job = j.ID
	one := func(into any, sql string, args ...any) {
		t.Helper()
		if err := g.system.Pool().QueryRow(t.Context(), sql, args...).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	one(&s.asked, `SELECT event_id::text FROM jobs WHERE id = $1`, s.job)
	one(&s.river, `INSERT INTO river_job (args, kind, max_attempts, queue, state, attempt, attempted_at, finalized_at)
		VALUES (jsonb_build_object('job_id', $1::text, 'organization_id', $2::text), 'mail.send', 5, 'mail', 'completed', 2, now(), now()) RETURNING id`, s.job, s.organization)
	g.execute(t, `UPDATE jobs SET status = 'succeeded', output = '{"secret":"hunter2"}', run = 1, attempt = 2, river_job_id = $2, started_at = now(),
		finished_at = now() + interval '2 seconds' WHERE id = $1`, s.job, s.river)
	g.execute(t, `INSERT INTO job_attempts (organization_id, job_id, river_job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, started_at, ended_at, log)
		VALUES ($1, $2, $3, 'mail.send', 'mail', 1, 1, 'retried', 'mail_deferred', $4, '0123456789abcdef', now() - interval '30 seconds', now() - interval '20 seconds',
			jsonb_build_array(jsonb_build_object('at', now(), 'level', 'WARN', 'message', $4::text, 'attrs', jsonb_build_object('code', 451))))`,
		s.organization, s.job, s.river, hostile)
	g.execute(t, `INSERT INTO mail_messages (organization_id, id, stream) VALUES ($1, $2, 'transactional') ON CONFLICT DO NOTHING`, s.organization, s.job)
	g.execute(t, `INSERT INTO mail_recipients (organization_id, message_id, position, field, address, state, queue_id, code, sending_at, accepted_at)
		SELECT $1, id, 1, 'to', 'asha@rao.example.com', 'accepted', $3, 250, started_at + interval '1 second', started_at + interval '1100 milliseconds'
		FROM jobs WHERE id = $2`, s.organization, s.job, s.queue)
	one(&s.ended, `INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, causation_id, correlation_id, data, created_at)
		SELECT gen_random_uuid(), $1, 'job.completed', id, 3, $3, $4, '{}', finished_at FROM jobs WHERE id = $2 RETURNING event_id::text`, s.organization, s.job, s.asked, s.request)
	g.execute(t, `INSERT INTO river_job (args, kind, max_attempts, queue, state, metadata) VALUES
		(jsonb_build_object('organization_id', $1::text, 'tags', ARRAY['invoices', 'contact:1']), 'cache.invalidate', 25, 'cache', 'available', jsonb_build_object('event_id', $2::text))`,
		s.organization, s.ended)
	one(&s.endpoint, `INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
		VALUES ($1, gen_random_uuid(), 'https://hooks.example.com/very-secret-path', '{*}', 'whsec_' || repeat('A', 32)) RETURNING id::text`, s.organization)
	one(&s.delivery, `INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, created_at)
		VALUES ($1, gen_random_uuid(), $2, $2, $3, 'job.completed', 'event', now() + interval '3 seconds') RETURNING id::text`, s.organization, s.endpoint, s.ended)
	g.execute(t, `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, status_code, error_code, error, request_headers)
		VALUES ($1, $2, 1, 1, now() + interval '3 seconds', 12, 500, 'status', $3, '{}')`, s.organization, s.delivery, hostile)
	return s
}

const storyOutline = `request POST /api/jobs (accepted)
 event job.requested (stated)
  job mail.send (succeeded)
   attempt Attempt 1 (retried)
   attempt Attempt 2 (succeeded)
    mail SMTP to a recipient at rao.example.com (accepted)
    event job.completed (stated)
     cache Cache dropped (queued)
     delivery Webhook to https://hooks.example.com (pending)
      try POST, attempt 1 (failed)
`

// The same chain is found from whatever a client, an operator, a mail server or a receiver has in the hand.
func TestChainFromAnyID(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	s := g.chained(t, "")
	g.chained(t, "2")
	var place string
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT xid::text || '/' || id FROM outbox WHERE event_id = $1`, s.asked).Scan(&place); err != nil {
		t.Fatal(err)
	}
	for as, ids := range map[string][]string{
		"request": {s.request, " X-Request-ID: " + s.request + " ", `"` + s.request + `"`},
		"job":     {s.job, strings.ToUpper(s.job), "<" + s.job + "@shop.example.com>", "Message-ID: <" + s.job + "@shop.example.com>", s.job + "@shop.example.com"},
		"event":   {s.asked, s.ended, place, "0190aaaa-0000-7000-8000-000000000000/" + place},
		"trace":   {s.trace, strings.ToUpper(s.trace), "00-" + s.trace + "-b7ad6b7169203331-01"},
		"work":    {fmt.Sprint(s.river)},
		"mail":    {s.queue},
	} {
		for _, id := range ids {
			c := g.chain(t, id)
			if got := outline(c); got != storyOutline || c.As != as || !c.Complete || len(c.Meanings) != 1 {
				t.Errorf("%s as %s (%v, %v):\n%swant %s:\n%s", id, c.As, c.Meanings, c.Notes, got, as, storyOutline)
			}
		}
	}
}

// A delivery is found by its id alone where that tells when it was made.
func TestChainOfDelivery(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	s := g.chained(t, "")
	id := "0190aaaa-0000-7000-8000-000000000001"
	g.execute(t, `INSERT INTO webhook_deliveries (organization_id, id, lane_id, job_id, url, event_id, event_type, purpose, created_at)
		VALUES ($1, $2, gen_random_uuid(), $3, 'https://other.example.com/x', $4, 'job.completed', 'callback', $5)`,
		s.organization, id, s.job, s.ended, timeOf(t, id))
	c := g.chain(t, id)
	if c.As != "delivery" || !strings.Contains(outline(c), "delivery Webhook to https://other.example.com (pending)") {
		t.Errorf("as %s:\n%s", c.As, outline(c))
	}
	asked := slices.IndexFunc(c.Nodes, func(n operator.ChainNode) bool { return n.Asked })
	if asked < 0 || c.Nodes[asked].Ref != id {
		t.Errorf("what was asked for is not marked: %+v", c.Nodes)
	}
}

func timeOf(t *testing.T, id string) time.Time {
	t.Helper()
	var ms int64
	if _, err := fmt.Sscanf(id[:8]+id[9:13], "%x", &ms); err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(ms)
}

// What is hidden until it is asked for isn't in a chain: what jobs were given and brought, addresses, paths of receivers.
func TestChainHidesContent(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	s := g.chained(t, "")
	body, err := json.Marshal(g.chain(t, s.job))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "asha", "very-secret-path", "whsec"} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the chain has %q: %s", secret, body)
		}
	}
	if !strings.Contains(string(body), `mail_deferred`) {
		t.Errorf("the chain lacks the error: %s", body)
	}
}

// Who has a request's id sees another organization's only as an operator.
func TestChainIsForOperators(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	s := g.chained(t, "")
	_, watcher := g.readOnlyKey(t)
	g.call(t, s.key, "GET", "/api/admin/chain/"+s.job, "").want(403)
	g.call(t, "", "GET", "/api/admin/chain/"+s.job, "").want(401)
	g.call(t, watcher, "GET", "/api/admin/chain/"+s.job, "").want(200)
}

func TestChainOfNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.chained(t, "")
	for _, id := range []string{"0197aaaa-0000-7000-8000-00000000000a", "nothing", "99999", "999999999999999999", "18446744073709551615/9", "seq:1", "<>", "00000000000000000000000000000000",
		"'; DROP TABLE jobs; --", "%", strings.Repeat("x", 390), "a@b@c", "\u202e", store.OperatorOrganization} {
		r := g.call(t, testAdminKey, "GET", "/api/admin/chain/"+url.PathEscape(id), "").want(404)
		if !strings.Contains(string(r.body), "kept for 7 days") {
			t.Errorf("%q: %s", id, r.body)
		}
	}
}

// A request that handed over very many shows the newest, and says that it leaves some out.
func TestChainIsBounded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	jobs := strings.TrimSuffix(strings.Repeat(`{"kind":"ai.completion","input":{"prompt":"x"}},`, 700), ",")
	g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+jobs+`]}`, "X-Request-ID", "many").want(202)
	c := g.chain(t, "many")
	if len(c.Nodes) != chainNodes || c.Complete || len(c.Notes) == 0 || c.Nodes[0].Type != "request" || *c.Nodes[0].OrganizationID != org {
		t.Errorf("%d nodes, complete %v, notes %q", len(c.Nodes), c.Complete, c.Notes)
	}
}

// What attempts wrote to the log stands with them, of the newest as far as there is room.
func TestChainLogs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	s := g.chained(t, "")
	logs := func() (lines []string, notes string) {
		c := g.chain(t, s.job)
		for _, n := range c.Nodes {
			for _, l := range n.Log {
				if n.Type != "attempt" {
					t.Errorf("a %s has a log", n.Type)
				}
				lines = append(lines, n.Title+" "+l.Level+" "+l.Message+" "+string(l.Attrs))
			}
		}
		return lines, strings.Join(c.Notes, "\n")
	}
	if lines, notes := logs(); !slices.Equal(lines, []string{`Attempt 1 WARN ` + hostile + ` {"code":451}`}) || notes != "" {
		t.Errorf("the logs are %q (%s)", lines, notes)
	}
	for i := range 2 {
		g.execute(t, `INSERT INTO job_attempts (organization_id, job_id, river_job_id, kind, queue, run, attempt, outcome, fingerprint, started_at, ended_at, log)
			VALUES ($1, $2, $3, 'mail.send', 'mail', 1, 3 + $4, 'retried', '0123456789abcdef', now(), now() + $4 * interval '1 second',
				(SELECT jsonb_agg(jsonb_build_object('at', now(), 'level', 'INFO', 'message', repeat('x', 1000))) FROM generate_series(1, 200)))`,
			s.organization, s.job, s.river, i)
	}
	if lines, notes := logs(); len(lines) != 200 || !strings.HasPrefix(lines[0], "Attempt 4 INFO xxx") || !strings.Contains(notes, "The logs of 2 earlier attempts") {
		t.Errorf("there are %d lines (%s)", len(lines), notes)
	}
}
