package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// news opens the stream of changes and gives its events, as "name data".
func (g *rig) newsOf(t *testing.T, key string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/api/admin/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	record(recording{http.MethodGet, "/api/admin/live", resp.StatusCode, resp.Header, nil})
	events := make(chan string, 1000)
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		defer close(events)
		defer resp.Body.Close()
		name := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = n
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- name + " " + data
			}
		}
	}()
	return events
}

// hears waits for an event of changes that names a sort of things.
func hears(t *testing.T, events <-chan string, what string) {
	t.Helper()
	for e := range events {
		if strings.HasPrefix(e, "changed ") && strings.Contains(e, `"`+what+`"`) {
			return
		}
	}
	t.Fatalf("the stream ended and did not tell of %s", what)
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.newsLook = 100 * time.Millisecond
	events := g.newsOf(t, testAdminKey)
	if first := <-events; first != "beat {}" {
		t.Errorf("the stream begins with %q", first)
	}
	// No hint tells of it.
	err := g.system.Tx(t.Context(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `INSERT INTO river_queue (name, updated_at) VALUES ('mail', now())`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	hears(t, events, "queues")
}

func TestHintsOfJobsAreToldAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.newsLook = time.Hour
	events := g.newsOf(t, testAdminKey)
	<-events
	began := time.Now()
	for range 3 {
		for range 50 {
			g.hints.JobChanged("some job")
		}
		hears(t, events, "jobs")
	}
	if took := time.Since(began); took < 2*newsPause {
		t.Errorf("three events of changes came within %s", took)
	}
	if len(events) > 0 {
		t.Errorf("after three there are %d more", len(events))
	}
}

func TestOnlyOperatorsHearOfChanges(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.call(t, "", "GET", "/api/admin/live", "").problem(http.StatusUnauthorized, "unauthorized")
	var made struct {
		Key string `json:"key"`
	}
	g.call(t, testAdminKey, "POST", "/api/api-keys", `{"name":"a client","scopes":["read","write","jobs"]}`).want(http.StatusCreated).json(&made)
	g.call(t, made.Key, "GET", "/api/admin/live", "").problem(http.StatusForbidden, "forbidden")
	g.call(t, testAdminKey, "POST", "/api/api-keys", `{"name":"who looks","scopes":["admin_read"]}`).want(http.StatusCreated).json(&made)
	events := g.newsOf(t, made.Key)
	g.Drain()
	for range events { // it ends
	}
}

// A page whose table goes by another name would never hear of a change.
func TestChangesAreOfTablesThatExist(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var there map[string]int64
	if err := g.system.AsOperator(t.Context(), time.Minute, func(tx pgx.Tx) (err error) {
		there, err = store.TableChanges(t.Context(), tx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for table := range newsOf {
		if _, ok := there[table]; !ok {
			t.Errorf("there is no table %s", table)
		}
	}
}
