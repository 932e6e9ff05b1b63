package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

type doctorCmd struct {
	operatorSettings
	RedisURL string `env:"REDIS_URL" secret:"" help:"Redis."`
	aiSettings
	aiLimitSettings
	mailSettings
	bounceSettings
	inboxSettings
	linkSettings
	JSON bool `help:"As JSON."`
}

// Help implements kong.HelpProvider.
func (doctorCmd) Help() string {
	return "Looks at every part from where it is run, changes nothing, and ends with status 1 if something is broken."
}

// States of a finding.
const (
	fine   = "ok"
	uneasy = "warning"
	broken = "broken"
)

// A finding is what one look came to.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning or broken
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// doctor gathers findings.
type doctor struct{ findings []finding }

func (d *doctor) say(state, check, remedy, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, State: state, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

// Run examines everything.
func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	p := a.problems()
	model, limits, server := c.aiSettings.check(&p, rulesOff), c.aiLimitSettings.check(&p), c.mailSettings.check(&p)
	bounces, in, links := c.bounceSettings.check(&p), c.inboxSettings.check(&p, c.MailBounces), c.linkSettings.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	r, err := c.find(a)
	if err != nil {
		return err
	}
	if c.RedisURL != "" {
		r.RedisURL = c.RedisURL
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var d doctor
	d.database(ctx, a, r.DatabaseURL)
	d.broker(ctx, a, r.NATSURL)
	d.redis(ctx, r.RedisURL)
	d.model(ctx, model)
	d.aiSettings(c.aiSettings, model, len(limits))
	d.mail(ctx, server.orSink(r.SinkPort))
	d.links(server, links)
	d.reports(ctx, bounces, in)
	return d.report(a, c.JSON)
}

func (d *doctor) report(a *app, asJSON bool) error {
	sick := 0
	for _, f := range d.findings {
		if f.State == broken {
			sick++
		}
		if asJSON {
			continue
		}
		fmt.Fprintf(a.stdout, "%-8s %-22s %s\n", f.State, f.Check, f.Detail)
		if f.Remedy != "" && f.State != fine {
			fmt.Fprintf(a.stdout, "%-8s %-22s → %s\n", "", "", f.Remedy)
		}
	}
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"healthy": sick == 0, "findings": d.findings}); err != nil {
			return err
		}
	}
	if sick > 0 {
		return fmt.Errorf("%d of %d checks found something broken", sick, len(d.findings))
	}
	return nil
}

func (d *doctor) database(ctx context.Context, a *app, url string) {
	db, err := store.Open(ctx, store.PoolOptions{
		URL: url, Role: store.System, Name: "payaid-doctor", MaxConns: 2, AcquireWait: 5 * time.Second,
	})
	if err != nil {
		d.say(broken, "postgres", "check DATABASE_URL", "%v", err)
		return
	}
	defer db.Close()
	var h store.Health
	if err = db.Ready(ctx); err == nil {
		h, err = db.Health(ctx)
	}
	var unusable *store.UnusableError
	if errors.As(err, &unusable) {
		d.say(broken, "postgres", unusable.Remedy, "%s", unusable.Problem)
		return
	}
	if err != nil {
		d.say(broken, "postgres", "start Postgres, check DATABASE_URL", "%v", err)
		return
	}
	if h.Major < 15 {
		d.say(broken, "postgres", "upgrade to 15 or newer", "version %s", h.Version)
	} else {
		d.say(fine, "postgres", "", "version %s, %d of %d connections in use", h.Version, h.Connections, h.MaxConnections)
	}
	if h.Connections*10 > h.MaxConnections*8 {
		d.say(uneasy, "connections", "raise max_connections or lower DB_POOL_SIZE", "%d of %d in use", h.Connections, h.MaxConnections)
	}
	if h.Fsync != "on" || h.SynchronousCommit == "off" {
		d.say(broken, "durability", "set fsync and synchronous_commit to on", "fsync is %s, synchronous_commit is %s: a 202 may be lost", h.Fsync, h.SynchronousCommit)
	}
	if h.LoginSuper {
		d.say(uneasy, "login", "use a login without superuser rights", "the login %s is a superuser", h.Login)
	}
	d.budget(ctx, url)
	d.schema(ctx, url, h)
	d.flow(h)
	d.workers(ctx, a, db)
}

// budget holds what the running processes may open against what there is.
func (d *doctor) budget(ctx context.Context, url string) {
	const remedy = "lower DB_POOL_SIZE or DB_POOL_OVERFLOW, or raise max_connections"
	b, err := store.ConnectionBudget(ctx, url)
	switch {
	case err != nil:
		d.say(uneasy, "connection budget", "check DATABASE_URL", "%v", err)
	case b.Claimed() > b.Available():
		d.say(uneasy, "connection budget", remedy, "processes may open %d connections of %d: %s", b.Claimed(), b.Available(), b)
	default:
		d.say(fine, "connection budget", "", "processes may open %d connections of %d: %s", b.Claimed(), b.Available(), b)
	}
}

func (d *doctor) schema(ctx context.Context, url string, h store.Health) {
	migrator := migrations.Migrator{DatabaseURL: url}
	steps, err := migrator.Status(ctx)
	var invalid []migrations.InvalidIndex
	if err == nil {
		invalid, err = migrator.InvalidIndexes(ctx)
	}
	if err != nil {
		d.say(uneasy, "schema", "run doctor by the login that owns the tables", "%v", err)
		return
	}
	pending := 0
	for _, s := range steps {
		if s.AppliedAt.IsZero() {
			pending++
		}
	}
	switch {
	case pending > 0:
		d.say(broken, "schema", "run `payaid migrate`", "%d migrations are pending", pending)
	case len(invalid) > 0:
		d.say(broken, "schema", invalid[0].Mend, "%d indexes are half built, the first is %s: they cost every write and serve no query",
			len(invalid), invalid[0].Name)
	case len(h.OwnedByRoles) > 0:
		d.say(broken, "schema", "ALTER TABLE … OWNER TO the migrating login", "the roles that answer requests own %s and so bypass row-level security",
			strings.Join(h.OwnedByRoles, ", "))
	default:
		d.say(fine, "schema", "", "up to date, no invalid index")
	}
}

// flow looks at the way from the outbox to River.
func (d *doctor) flow(h store.Health) {
	const late = time.Minute
	if h.OldestUnrouted > late {
		d.say(broken, "events", "is a relay running, and a worker? is NATS there?", "%d events wait to be routed, the oldest for %s",
			h.Unrouted, h.OldestUnrouted.Round(time.Second))
	} else {
		d.say(fine, "events", "", "%d wait to be routed", h.Unrouted)
	}
	if h.DeadEvents > 0 {
		d.say(uneasy, "dead events", "see `payaid events dead list`", "%d could not be routed", h.DeadEvents)
	}
	if h.DaysAhead < 2 {
		d.say(uneasy, "outbox partitions", "is a worker for the queue maintenance running?", "made for %d days ahead only", h.DaysAhead)
	}
}

func (d *doctor) workers(ctx context.Context, a *app, db *store.DB) {
	list, err := db.Workers(ctx)
	if err != nil {
		d.say(broken, "workers", "run `payaid migrate`", "%v", err)
		return
	}
	served := make(map[string]int)
	for _, w := range list {
		var queues map[string]int
		if json.Unmarshal(w.Queues, &queues) == nil && time.Since(w.HeartbeatAt) < time.Minute {
			for name, n := range queues {
				served[name] += n
			}
		}
	}
	used := make(map[string]int)
	for _, j := range a.table(jobs.Deps{}) {
		used[j.Spec.Queue.Name] = 1
	}
	for _, name := range sortedNames(used) {
		if served[name] == 0 {
			d.say(broken, "queue "+name, "start `payaid worker --queue "+name+"`", "no worker works it")
			continue
		}
		d.say(fine, "queue "+name, "", "%d jobs at a time", served[name])
	}
}

func (d *doctor) broker(ctx context.Context, a *app, url string) {
	const remedy = "start nats-server 2.15 or newer with JetStream, and check NATS_URL"
	if url == "" {
		d.say(uneasy, "nats", "set NATS_URL", "not configured here")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	quiet := telemetry.NewLog(a.stderr, telemetry.Text, 100)
	nc, err := connectNATS(url, "payaid-doctor", quiet)
	if err != nil {
		d.say(broken, "nats", remedy, "%v", err)
		return
	}
	defer nc.Close()
	s, err := stream.Open(nc)
	if err == nil {
		err = nc.FlushWithContext(ctx)
	}
	if err != nil {
		d.say(broken, "nats", remedy, "no answer: %v", err)
		return
	}
	first, last, err := s.State(ctx)
	if err != nil {
		d.say(broken, "nats", remedy, "server %s, but: %v", nc.ConnectedServerVersion(), err)
		return
	}
	d.say(fine, "nats", "", "server %s, stream holds %d to %d; that it syncs every write (sync_interval: always) can't be seen from here",
		nc.ConnectedServerVersion(), first, last)
}

func (d *doctor) redis(ctx context.Context, url string) {
	if url == "" {
		d.say(uneasy, "redis", "set REDIS_URL; without it nothing is cached", "not configured here")
		return
	}
	client, err := openRedis(url)
	if err != nil {
		d.say(broken, "redis", "check REDIS_URL", "%v", err)
		return
	}
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		d.say(uneasy, "redis", "start Redis; until then nothing is cached", "%v", err)
		return
	}
	// A full one, and a replica, answer all the same. There is no such key to change.
	if err := client.SetArgs(ctx, "payaid:doctor", "", redis.SetArgs{Mode: "XX"}).Err(); err != nil && !errors.Is(err, redis.Nil) {
		d.say(uneasy, "redis", "give it memory (maxmemory), or the address of the primary; until then nothing new is cached", "answers and takes no writes: %v", err)
		return
	}
	d.say(fine, "redis", "", "answers")
}

func (d *doctor) model(ctx context.Context, m model) {
	if list := m.chain.Unpriced(); m.chain.GroqKey != "" && len(list) > 0 {
		d.say(uneasy, "ai prices", "name what it costs in GROQ_PRICES", "no price is known for %s: calls count as free, and organizations with a budget can't use it",
			strings.Join(list, ", "))
	}
	look := lookAtModel(ctx, m.chain)
	if look.reachable && look.remedy == "" {
		d.say(fine, "ai", "", "%s", look.text)
		return
	}
	d.say(uneasy, "ai", look.remedy, "%s", look.text)
}

// aiSettings tells what was read of the settings that can't be seen in the running processes; what is wrong with
// them has ended the command before.
func (d *doctor) aiSettings(c aiSettings, m model, limits int) {
	rules := "off unless set, but on in up"
	switch {
	case c.AIRulesFallback != "" && m.rules:
		rules = "on"
	case c.AIRulesFallback != "":
		rules = "off"
	}
	d.say(fine, "ai settings", "", "in this environment, which others need not share: rules are %s (AI_RULES_FALLBACK), %d limits (AI_RATE_LIMITS), %d own prices (GROQ_PRICES)",
		rules, limits, len(m.chain.Prices))
}
