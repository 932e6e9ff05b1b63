//go:build deploytest

package deploytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func itoa(n int) string { return strconv.Itoa(n) }

// victims are killed in turn, each with the kind of work that shows that it is back.
var victims = []struct{ service, work string }{
	{"worker-ai", "ai"}, {"worker-mail", "mail"}, {"worker-cache", "cache"}, {"worker-webhook", "callback"},
	{"worker-maintenance", "sample"}, {"relay", "mail"}, {"api", "mail"}, {"nginx", "mail"}, {"redis", "cache"},
	{"nats", "mail"}, {"postgres", "mail"}, {"ollama", "ai"}, {"mail", "mail"},
}

// kills takes every container's process away under a steady load, and waits until its work is done again.
func (d *deployed) kills(t *testing.T, l *load) {
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() { loaded <- l.run(ctx, 400*time.Millisecond) }()
	for _, v := range victims {
		if err := d.killOne(t, l, v.service, v.work); err != nil {
			t.Errorf("%s: %v", v.service, err)
		}
	}
	cancel()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	d.report.add("jobs accepted under load", "%d; %d requests had no good answer and were sent again, the longest until its 202 took %s",
		len(l.accepted), l.failed, seconds(l.longest))
}

func (d *deployed) killOne(t *testing.T, l *load, service, work string) error {
	l.mu.Lock()
	failedBefore := l.failed
	l.mu.Unlock()
	ctx := within(t, 3*time.Minute)
	began := time.Now()
	before, err := d.kill(ctx, service)
	if err != nil {
		return err
	}
	worked := make(chan error, 1)
	var took time.Duration
	go func() {
		err := d.work(ctx, l, work)
		took = time.Since(began)
		worked <- err
	}()
	err = d.back(ctx, before)
	back := time.Since(began)
	if err := errors.Join(err, <-worked); err != nil {
		return err
	}
	// Others may have been hit as well; the next one is to find all of them well.
	if err := d.allHealthy(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d.report.killed(service, back, took, l.failed-failedBefore)
	t.Logf("%s: healthy after %s, %s after %s", service, seconds(back), work, seconds(took))
	return nil
}

// allHealthy waits until every container that should run does, and is well.
func (d *deployed) allHealthy(ctx context.Context) error {
	return eventually(ctx, func(ctx context.Context) error {
		list, err := d.containers(ctx)
		if err != nil {
			return err
		}
		for _, c := range list {
			if !c.healthy() && !(c.State.Status == "exited" && c.State.ExitCode == 0) {
				return fmt.Errorf("%s is %+v", c.Name, c.State)
			}
		}
		return nil
	})
}

// work hands over something of one kind, and waits until it is done.
func (d *deployed) work(ctx context.Context, l *load, kind string) error {
	switch kind {
	case "ai", "callback":
		j, err := l.one(ctx, "ai.completion")
		if err == nil && kind == "callback" {
			return eventually(ctx, func(context.Context) error {
				if callbacks.heard(j.ID) == 0 {
					return fmt.Errorf("nobody was told of the end of job %s", j.ID)
				}
				return nil
			})
		}
		if err == nil {
			_, err = d.own.await(ctx, j.ID)
		}
		return err
	case "mail":
		j, err := l.one(ctx, "mail.send")
		if err == nil {
			_, err = d.own.await(ctx, j.ID)
		}
		return err
	case "cache":
		return d.invalidation(ctx)
	}
	j, _, err := d.admin.submit(ctx, "sample-"+time.Now().String(), `{"kind":"db.index_sample","input":{}}`)
	if err == nil {
		_, err = d.admin.await(ctx, j.ID)
	}
	return err
}

// invalidation makes a contact, and waits until a job has made void what was cached of it.
func (d *deployed) invalidation(ctx context.Context) error {
	var c struct {
		ID string `json:"id"`
	}
	key := "contact-" + time.Now().String()
	err := eventually(ctx, func(ctx context.Context) error {
		return d.own.want(ctx, http.StatusCreated, http.MethodPost, "/api/contacts", `{"name":"Ravi Iyer"}`, &c, "Idempotency-Key", key)
	})
	if err != nil {
		return err
	}
	return eventually(ctx, func(ctx context.Context) error {
		var n int
		err := d.row(ctx, `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND state = 'completed' AND args -> 'tags' ? $1`,
			[]any{"contact:" + c.ID}, &n)
		if err == nil && n == 0 {
			err = fmt.Errorf("nothing has made void what is cached of contact %s", c.ID)
		}
		return err
	})
}

// row asks the database of the stack for one row, as its superuser: from the host, as containers' networks have no
// walls there.
func (d *deployed) row(ctx context.Context, sql string, args []any, into ...any) error {
	conn, err := d.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.QueryRow(ctx, sql, args...).Scan(into...)
}

func (d *deployed) database(ctx context.Context) (*pgx.Conn, error) {
	c, err := d.one(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("sslmode=disable port=5432 user=postgres dbname=payaid connect_timeout=3 host=" + c.address())
	if err != nil {
		return nil, err
	}
	config.Password = d.superuser
	return pgx.ConnectConfig(ctx, config)
}
