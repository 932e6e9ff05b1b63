package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

// database looks at Postgres, and at all that it knows of the product.
func (d *doctor) database(ctx context.Context, a *app, x examination) {
	url := x.DatabaseURL
	db, err := store.Open(ctx, store.PoolOptions{
		URL: url, Role: store.System, Name: "payaid-doctor", MaxConns: 3, AcquireWait: 5 * time.Second,
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
	const within = 12 * time.Second
	d.examine(ctx,
		exam{"connection budget", within, func(ctx context.Context, d *doctor) { d.budget(ctx, url) }},
		exam{"schema", within, func(ctx context.Context, d *doctor) { d.schema(ctx, url, h) }},
		exam{"indexes", within, func(ctx context.Context, d *doctor) { d.indexes(ctx, db) }},
		exam{"events", within, func(ctx context.Context, d *doctor) { d.flow(h) }},
		exam{"workers", within, func(ctx context.Context, d *doctor) { d.workers(ctx, a, db) }},
		exam{"webhooks", within, func(ctx context.Context, d *doctor) { d.webhooks(ctx, db) }},
		exam{"schedules", within, func(ctx context.Context, d *doctor) { d.schedules(ctx, db) }},
		exam{"backups", within, func(ctx context.Context, d *doctor) { d.history(ctx, db) }},
		exam{"clock", within, func(ctx context.Context, d *doctor) { d.databaseClock(ctx, db) }},
	)
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
	if err == nil {
		d.processes(b)
	}
}

// processes looks who of those is connected without whom nothing goes on.
func (d *doctor) processes(b store.Budget) {
	running := make(map[string]int)
	for _, p := range b.Processes {
		running[p.Role()]++
	}
	if running["relay"] == 0 {
		d.say(broken, "relay", "start `payaid relay`; until then facts wait in the outbox", "none is connected to Postgres")
	} else {
		d.say(fine, "relay", "", "%d connected", running["relay"])
	}
	if running["api"] == 0 {
		d.say(uneasy, "api processes", "start `payaid api`", "none is connected to Postgres")
	}
}

func (d *doctor) schema(ctx context.Context, url string, h store.Health) {
	const remedy = "run doctor by the login that owns the tables"
	migrator := migrations.Migrator{DatabaseURL: url}
	steps, err := migrator.Status(ctx)
	var invalid []migrations.InvalidIndex
	if err == nil {
		invalid, err = migrator.InvalidIndexes(ctx)
	}
	var newest, known int64
	if err == nil {
		newest, err = migrator.Applied(ctx)
	}
	if err == nil {
		known, err = migrations.Latest()
	}
	if err != nil {
		d.say(uneasy, "schema", remedy, "%v", err)
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
		return // what is missing is what they bring
	case newest > known:
		d.say(uneasy, "schema", "run the newer program everywhere, and doctor by it: this one is only safe beside it for the time of a deploy",
			"a newer program has migrated to step %d, and this one knows %d", newest, known)
		return
	case len(invalid) > 0:
		d.say(broken, "schema", invalid[0].Mend, "%d indexes are half built, the first is %s: they cost every write and serve no query",
			len(invalid), invalid[0].Name)
	case len(h.OwnedByRoles) > 0:
		d.say(broken, "schema", "ALTER TABLE … OWNER TO the migrating login", "the roles that answer requests own %s and so bypass row-level security",
			strings.Join(h.OwnedByRoles, ", "))
	default:
		d.say(fine, "schema", "", "up to date, no invalid index")
	}
	d.rights(ctx, migrator, remedy)
}

// rights looks whether tenants are still apart, and whether the roles may do their work.
func (d *doctor) rights(ctx context.Context, m migrations.Migrator, remedy string) {
	gaps, err := m.Gaps(ctx)
	switch {
	case err != nil:
		d.say(uneasy, "rights", remedy, "%v", err)
	case len(gaps) > 0:
		d.say(broken, "rights", gaps[0].Mend, "%s; %s in all", gaps[0].Problem, counted(len(gaps), "gap"))
	default:
		d.say(fine, "rights", "", "row-level security is on, and each role has its rights")
	}
}
