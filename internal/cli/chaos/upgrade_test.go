package chaos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A crew is one process of each type, all of one version of the program.
type crew struct {
	api, relay, worker *process
	client             *client
}

// shift is how long each state of an upgrade goes on under load.
const shift = 3 * time.Second

// An upgrade is a database that two versions of the program work on.
type upgrade struct {
	*stack
	old  former
	load *balancer
	key  string // of the organization
}

// start begins the processes of a version, "" being this one, and gives the API its share of the load.
func (u *upgrade) start(name, binary string) *crew {
	u.t.Helper()
	c := &crew{client: newClient("http://"+freeAddress(u.t), u.key)}
	run := func(part string, env []string, args ...string) *process {
		p := newProcess(u.t, name+"-"+part, append(append([]string{}, u.env...), env...), args...)
		p.binary = binary
		must(u.t, "start", p.start())
		return p
	}
	c.relay = run("relay", nil, "relay")
	c.worker = run("worker", nil, "worker", "--queue", "bench:8", "--queue", "maintenance", "--queue", "ai", "--queue", "cache", "--queue", "mail", "--queue", "webhook")
	// A request may be on its way to it that the balancer had given it before it was dismissed.
	c.api = run("api", []string{"LISTEN=" + strings.TrimPrefix(c.client.base, "http://"), "DRAIN_PAUSE=2s"}, "api")
	must(u.t, name+" is ready", c.client.ready(within(u.t, time.Minute)))
	_, err := c.worker.says(within(u.t, time.Minute), "worker works")
	must(u.t, name+" is ready", err)
	return c
}

// end takes a crew's API out of service and ends its processes as a deploy does.
func (u *upgrade) end(c *crew) {
	u.t.Helper()
	u.load.dismiss(c.client)
	for _, p := range []*process{c.api, c.relay, c.worker} {
		ends(u.t, p, 30*time.Second)
	}
}

// works lets time go by, and wants no request to have failed meanwhile.
func (u *upgrade) works(what string) {
	u.t.Helper()
	must(u.t, "pause", pause(u.t.Context(), shift))
	must(u.t, what, u.load.complaints())
}

// command runs a command of a version to its end, which has to be a good one.
func (u *upgrade) command(binary string, args ...string) string {
	u.t.Helper()
	p := newProcess(u.t, strings.Join(args, "-"), u.env, args...)
	p.binary = binary
	must(u.t, "start", p.start())
	status, output := exits(u.t, p, time.Minute)
	if status != 0 {
		u.t.Fatalf("%s: status %d\n%s", strings.Join(args, " "), status, output)
	}
	return output
}

// The schema moves on under the processes of the version before, those of the new one come beside them,
// and the old ones go; then the same backwards. Requests are sent all the time, and none may fail.
func TestUpgradeAndBack(t *testing.T) {
	t.Parallel()
	old := buildFormer(t, *fromFlag)
	u := &upgrade{stack: newDatabases(t), old: old, load: newBalancer()}
	u.startNATS()
	u.use(u.nats.URL())
	u.command(old.binary, "migrate", "up")

	began := u.start("old", old.binary)
	organization, own := began.client.as(adminKey).organization(t, "Upgraded")
	u.key, began.client.key = own.key, own.key
	u.load.admit(began.client)
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() { loaded <- u.load.run(ctx) }()
	t.Cleanup(stop)
	u.works("the old version")

	applied := u.command("", "migrate", "up")
	t.Logf("from %s:\n%s", old.commit, applied)
	u.works("the old version on the new schema")
	next := u.start("new", "")
	u.load.admit(next.client)
	u.works("both versions, the old one routing")
	u.end(began)
	u.works("the new version")
	u.takesOver(next)

	back := u.start("back", old.binary)
	u.load.admit(back.client)
	u.works("both versions, the new one routing")
	u.end(next)
	u.works("the old version, again on the new schema")
	u.takesOver(back)
	// A step back locks tables in its own order: a request that meets it may be the one that gives way.
	u.load.bePatient(true)
	for range strings.Count(applied, "applied 0") {
		u.command("", "migrate", "down", "--yes")
	}
	u.load.bePatient(false)
	if left := u.command(old.binary, "migrate", "status"); strings.Contains(left, "pending") {
		t.Errorf("more was taken back than had been applied:\n%s", left)
	}
	u.works("the old version on its own schema again")

	stop()
	must(t, "the load", <-loaded)
	must(t, "the load", u.load.complaints())
	u.judge(organization)
}

// takesOver wants a crew to relay and to route.
func (u *upgrade) takesOver(c *crew) {
	u.t.Helper()
	_, err := c.relay.says(within(u.t, 20*time.Second), "relay publishes")
	must(u.t, "the relay", err)
	_, err = c.worker.says(within(u.t, 20*time.Second), "router routes")
	must(u.t, "the router", err)
}

// judge holds what came of all that against what the clients were told.
func (u *upgrade) judge(organization string) {
	t := u.t
	t.Helper()
	a := &arena{stack: u.stack, pool: u.pool(), organization: organization}
	a.settle(t)
	ctx := within(t, time.Minute)
	jobs := ids(u.load.accepted)
	t.Logf("%d jobs and %d contacts; %d requests were refused while the schema went back", len(jobs), u.load.contacts, u.load.refused)
	if len(jobs) == 0 || u.load.contacts == 0 {
		t.Error("there was no load")
	}
	must(t, "audit", audit(ctx, a.pool, organization, jobs))
	outbox, err := readOutbox(ctx, a.pool)
	must(t, "read the outbox", err)
	stream, err := readStream(ctx, u.nats.URL())
	must(t, "read the stream", err)
	must(t, "hold the stream against the outbox", sameEvents(stream, outbox))
	for _, kind := range []string{"job.requested", "job.completed"} {
		must(t, kind, onceEach(stream, kind, jobs))
	}
	must(t, "invalidations", eventually(ctx, func(ctx context.Context) error {
		var done, all int
		err := a.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'completed'), count(*) FROM river_job
		                             WHERE kind = 'cache.invalidate'`).Scan(&done, &all)
		if err == nil && (done != u.load.contacts || all != u.load.contacts) {
			err = fmt.Errorf("%d of %d are done, after %d contacts", done, all, u.load.contacts)
		}
		return err
	}))
}
