package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Process is what the connections of one process of ours call themselves. All of its pools carry the
// same instance and the same number, so that the process is known as long as one of them is connected.
type Process struct {
	Name     string // "payaid-api"
	Most     int    // connections that the process may open, over all its pools and beside them
	Instance string // tells processes of one name apart
}

// ApplicationName is for pg_stat_activity: "payaid-api/30/k7x2qaab". A second pool of the process has a
// name besides, "payaid-worker.river/63/k7x2qaab"; pool is "" for the first.
func (p Process) ApplicationName(pool string) string {
	if pool != "" {
		pool = "." + pool
	}
	return p.Name + pool + "/" + strconv.Itoa(p.Most) + "/" + p.Instance
}

// Role is what the process does: api, relay or worker.
func (p Process) Role() string { return strings.TrimPrefix(p.Name, "payaid-") }

func parseProcess(applicationName string) (Process, bool) {
	part := strings.Split(applicationName, "/")
	if len(part) != 3 || !strings.HasPrefix(part[0], "payaid-") || part[2] == "" {
		return Process{}, false
	}
	most, err := strconv.Atoi(part[1])
	name, _, _ := strings.Cut(part[0], ".")
	return Process{Name: name, Most: most, Instance: part[2]}, err == nil && most > 0
}

// A Budget is how many connections there are, and who may take them.
type Budget struct {
	MaxConnections int
	Reserved       int       // of those, for superusers and other reserved roles
	Processes      []Process // of ours that are connected, of every database of the cluster
	Others         int       // sessions of other programs now
}

// Available is what Postgres gives to ordinary logins.
func (b Budget) Available() int { return b.MaxConnections - b.Reserved }

// Claimed is what processes may open and others have.
func (b Budget) Claimed() int {
	sum := b.Others
	for _, p := range b.Processes {
		sum += p.Most
	}
	return sum
}

// String lists the processes.
func (b Budget) String() string {
	var list []string
	for _, p := range b.Processes {
		list = append(list, fmt.Sprintf("%s %d", p.Name, p.Most))
	}
	if b.Others > 0 {
		list = append(list, fmt.Sprintf("other sessions %d", b.Others))
	}
	return strings.Join(list, ", ")
}

const selectMaxConnections = `
SELECT current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0)`

// Of the sessions of other logins even the kind may be hidden; a session with a login and a database is a
// client's.
const selectSessions = `
SELECT coalesce(application_name, ''), count(*)::int FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND usesysid IS NOT NULL AND datid IS NOT NULL
  AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY 1`

const budgetTimeout = 5 * time.Second

// ConnectionBudget looks, on a connection of its own, at who is connected. It asks as the login, not as
// one of our roles: to those Postgres doesn't show what the sessions of the login are called.
func ConnectionBudget(ctx context.Context, url string) (Budget, error) {
	ctx, cancel := context.WithTimeout(ctx, budgetTimeout)
	defer cancel()
	b, err := connectionBudget(ctx, url)
	if err != nil {
		return b, fmt.Errorf("look at the connections of the database: %w", err)
	}
	return b, nil
}

func connectionBudget(ctx context.Context, url string) (b Budget, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return b, err
	}
	config.RuntimeParams["application_name"] = "payaid-budget"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return b, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := conn.QueryRow(ctx, selectMaxConnections).Scan(&b.MaxConnections, &b.Reserved); err != nil {
		return b, err
	}
	rows, err := conn.Query(ctx, selectSessions)
	if err != nil {
		return b, err
	}
	instances := make(map[string]Process)
	var name string
	var sessions int
	_, err = pgx.ForEachRow(rows, []any{&name, &sessions}, func() error {
		p, ok := parseProcess(name)
		if !ok {
			b.Others += sessions
			return nil
		}
		instances[p.Instance] = p
		return nil
	})
	for _, p := range instances {
		b.Processes = append(b.Processes, p)
	}
	slices.SortFunc(b.Processes, func(p, q Process) int {
		return cmp.Or(cmp.Compare(p.Name, q.Name), cmp.Compare(p.Instance, q.Instance))
	})
	return b, err
}
