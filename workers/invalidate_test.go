package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// invalidating is a site whose worker works the product's own table, with a cache behind a gate.
func invalidating(t *testing.T) (s *site, gate *localstack.Gate, reader *cachetag.Cache) {
	t.Helper()
	s = newSite(t)
	address, err := url.Parse(localstack.TestRedis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	reader = openCache(t, address.String(), patience)
	gate = localstack.NewGate(t, address.Host)
	address.Host = gate.Addr()
	table := jobs.All(jobs.Deps{DB: s.db, Relaxed: s.relaxed, Hints: hint.New(s.nc), Log: s.logged.log(),
		Cache: openCache(t, address.String(), time.Second)})
	s.worker(func(c *Config) { c.Table, c.Queues = table, map[string]int{"cache": 10} })
	s.relay()
	return s, gate, reader
}

func openCache(t *testing.T, address string, wait time.Duration) *cachetag.Cache {
	t.Helper()
	c, err := cachetag.Open(cachetag.Options{URL: address, ReadTimeout: wait, WriteTimeout: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// outcome reads an entry of an organization under a tag.
func outcome(t *testing.T, c *cachetag.Cache, organizationID, tag string) cachetag.Outcome {
	t.Helper()
	e := cachetag.Entry{Organization: organizationID, Name: "test", Key: t.Name() + tag, Tags: []string{tag}, TTL: time.Hour}
	_, outcome, err := c.Read(t.Context(), e, func(context.Context) ([]byte, error) { return []byte("x"), nil })
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func (s *site) states(organizationID string, facts ...events.Fact) {
	s.t.Helper()
	s.tx(func(tx pgx.Tx) error {
		return outbox.Append(s.t.Context(), tx, outbox.Origin{OrganizationID: organizationID}, facts...)
	})
}

// Whoever states a fact, and however it ended: what is cached of it is void soon after.
func TestFactsInvalidate(t *testing.T) {
	t.Parallel()
	s, gate, reader := invalidating(t)
	mine, others := outbox.NewID(), outbox.NewID()
	entries := []struct{ organization, tag string }{{mine, cachetag.Contacts}, {mine, cachetag.Deals}, {others, cachetag.Contacts}}
	fill := func() {
		for _, e := range entries {
			outcome(t, reader, e.organization, e.tag)
			if got := outcome(t, reader, e.organization, e.tag); got != cachetag.Hit {
				t.Fatalf("%v is a %s", e, got)
			}
		}
	}
	away := func(tag string) {
		eventually(t, "the entry is void", func() error {
			if got := outcome(t, reader, mine, tag); got != cachetag.Miss {
				return fmt.Errorf("it is a %s", got)
			}
			return nil
		})
	}
	fill()
	s.states(mine, events.ContactUpdated{ContactID: outbox.NewID(), Changed: []string{"name"}, Version: 2})
	away(cachetag.Contacts)
	for _, e := range entries {
		if got := outcome(t, reader, e.organization, e.tag); got != cachetag.Hit {
			t.Errorf("%v is a %s", e, got)
		}
	}

	// While Redis is away the job waits, without using up an attempt, and in the end it is done.
	fill()
	gate.Shut()
	s.states(mine, events.DealWon{DealID: outbox.NewID(), ContactID: outbox.NewID(), Version: 3})
	const waiting = `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND finalized_at IS NULL
	                 AND (metadata ->> 'snoozes')::int >= 1 AND coalesce(cardinality(errors), 0) = 0`
	eventually(t, "the job waits", func() error {
		var n int
		if s.scan(&n, waiting); n != 1 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	if got := outcome(t, reader, mine, cachetag.Deals); got != cachetag.Hit {
		t.Fatalf("it was invalidated without Redis: %s", got)
	}
	gate.Open()
	away(cachetag.Deals)
	eventually(t, "all jobs are done", func() error {
		var left, done int
		s.scan(&left, `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND finalized_at IS NULL`)
		if s.scan(&done, `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND state = 'completed'`); left != 0 || done != 2 {
			return fmt.Errorf("%d are left, %d done", left, done)
		}
		return nil
	})
}

// A client may ask for the same, and sees what becomes of it.
func TestARequestedInvalidationRuns(t *testing.T) {
	t.Parallel()
	s, gate, reader := invalidating(t)
	other := outbox.NewID()
	ask := func(organizationID, input string) store.Job {
		return s.submit(nil, func(j *store.Job) {
			j.OrganizationID, j.Kind, j.Queue, j.Input = organizationID, "cache.invalidate", "cache", json.RawMessage(input)
		})
	}
	outcome(t, reader, organization, cachetag.Org)
	done := s.ends(ask(organization, `{"tags":["org","deals"]}`).ID, store.Succeeded)
	if string(done.Output) != `{"tags": ["org", "deals"]}` {
		t.Errorf("output %s", done.Output)
	}
	if got := outcome(t, reader, organization, cachetag.Org); got != cachetag.Miss {
		t.Errorf("after the job it is a %s", got)
	}
	outcome(t, reader, other, cachetag.Org)
	refused := s.ends(ask(organization, `{"tags":["org"],"organization_id":"`+other+`"}`).ID, store.Failed)
	if got := outcome(t, reader, other, cachetag.Org); s.code(refused) != "forbidden" || got != cachetag.Hit {
		t.Errorf("another organization's: %s, and it is a %s", refused.Error, got)
	}
	ask(store.OperatorOrganization, `{"tags":["org"],"organization_id":"`+other+`"}`)
	eventually(t, "the operator's is done", func() error {
		if got := outcome(t, reader, other, cachetag.Org); got != cachetag.Miss {
			return fmt.Errorf("it is a %s", got)
		}
		return nil
	})

	gate.Shut()
	waits := ask(organization, `{"tags":["org"]}`)
	eventually(t, "the job says for what it waits", func() error {
		if j := s.job(waits.ID); j.WaitingReason == nil {
			return fmt.Errorf("it is %s", j.Status)
		}
		return nil
	})
	gate.Open()
	s.ends(waits.ID, store.Succeeded)
}
