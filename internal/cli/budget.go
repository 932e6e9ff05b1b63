package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"

	"github.com/payaid/payaid/internal/store"
)

// Connections beside a pool: each is taken out of one, which then makes another in its place.
const (
	relayPool      = 4
	relayExtra     = 1 // the session that holds the lock
	workerExtra    = 3 // River's listener, the router's lock, the slots of the model host
	budgetInstance = 8 // letters
)

// newProcess names a process by what it is and how many connections it may open.
func newProcess(name string, most int) store.Process {
	return store.Process{Name: name, Most: most, Instance: strings.ToLower(rand.Text()[:budgetInstance])}
}

// apiProcess, relayProcess and workerProcess count what the parts of the product may open.
func apiProcess(p pool) store.Process { return newProcess("payaid-api", p.most) }
func relayProcess(p pool) store.Process {
	return newProcess("payaid-relay", min(relayPool, p.most)+relayExtra)
}

// A worker has a second pool, for bookkeeping whose commits need not wait for the disk.
func workerProcess(p pool) store.Process { return newProcess("payaid-worker", 2*p.most+workerExtra) }

// checkBudget holds what the processes of the product may open against what Postgres gives. A process
// that could take more than there is by itself does not start; where only the sum is too much, each may
// run well for months, so that is a warning.
func checkBudget(ctx context.Context, url string, me store.Process, log *slog.Logger) error {
	b, err := store.ConnectionBudget(ctx, url)
	if err != nil {
		log.Warn("connection budget was not checked", "error", err)
		return nil
	}
	if me.Most > b.Available() {
		return fmt.Errorf("%s may open %d connections, and Postgres gives %d in all (max_connections %d, of which %d are reserved): "+
			"lower DB_POOL_SIZE or DB_POOL_OVERFLOW, or raise max_connections", me.Name, me.Most, b.Available(), b.MaxConnections, b.Reserved)
	}
	known := false
	for _, p := range b.Processes {
		known = known || p.Instance == me.Instance
	}
	if !known {
		b.Processes = append(b.Processes, me)
	}
	if b.Claimed() > b.Available() {
		log.Warn("processes together may open more connections than Postgres gives: lower DB_POOL_SIZE or DB_POOL_OVERFLOW, or raise max_connections",
			"may_open", b.Claimed(), "available", b.Available(), "max_connections", b.MaxConnections, "reserved", b.Reserved, "who", b.String())
	}
	return nil
}
