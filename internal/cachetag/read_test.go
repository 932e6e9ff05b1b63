package cachetag

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/payaid/payaid/events"
)

func TestEveryEventIsMappedOrNamed(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"contact": "contacts contact:c", "deal": "deals contact:c deal:d", "invoice": "invoices contact:c invoice:i",
		"organization": "org",
		// Nothing that is cached shows a job, nor an insight; a score comes with contact.updated.
		"job": "", "insight": "", "mail": "", "backup": "", "index_health": "", "webhook": "", "admin": "",
	}
	sample := []byte(`{"contact_id":"C","deal_id":"d","invoice_id":"i","job_id":"j","insight_id":"n","version":2}`)
	for _, k := range events.Catalogue() {
		f := reflect.New(reflect.TypeOf(k.Fact))
		if err := json.Unmarshal(sample, f.Interface()); err != nil {
			t.Fatal(err)
		}
		noun, _, _ := strings.Cut(k.Type, ".")
		tags, known := want[noun]
		if got := strings.Join(TagsOf(f.Elem().Interface().(events.Fact)), " "); !known || got != tags {
			t.Errorf("%s: tags %q, want %q (listed: %t): does it change what is cached?", k.Type, got, tags, known)
		}
	}
}

// A score is made from the contact, and nothing that is made from the contact shows it.
func TestAScoreMakesNoAnswerVoid(t *testing.T) {
	t.Parallel()
	for changed, want := range map[string]string{"lead_score": "contacts", "notes": "contacts contact:c", "lead_score notes": "contacts contact:c"} {
		f := events.ContactUpdated{ContactID: "c", Changed: strings.Fields(changed), Version: 2}
		if got := strings.Join(TagsOf(f), " "); got != want {
			t.Errorf("a change of %s: tags %q, want %q", changed, got, want)
		}
	}
}

func TestKnownTags(t *testing.T) {
	t.Parallel()
	const id = "0197aaaa-0000-7000-8000-000000000001"
	for tag, want := range map[string]bool{
		Contacts: true, Org: true, ContactTag(id): true, DealTag(strings.ToUpper(id)): true, InvoiceTag(id): true,
		"": false, "contact": false, "contact:": false, "contact:1": false, "job:" + id: false, "contact:" + id + "0": false,
		"contact:" + strings.ToUpper(id): false, " contact:" + id: false, "contact:" + id + "\n": false,
	} {
		if got := Known(tag); got != want {
			t.Errorf("%q is known: %t, want %t", tag, got, want)
		}
	}
}

func TestOrganizationsAndKeysAreApart(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	other, second, named := e, e, e
	other.Organization += "-other"
	second.Key = "limit=51"
	named.Name = "deal:list"
	for i, one := range []Entry{e, other, second, named} {
		reads(t, c, one, constant(int64(i)), string(number(int64(i))), Miss)
	}
	bump(t, c, other.Organization, other.Tags...)
	reads(t, c, e, constant(9), "0", Hit)
	reads(t, c, other, constant(9), "9", Miss)
	bump(t, c, e.Organization, Deals)
	reads(t, c, e, constant(9), "0", Hit)
	bump(t, c, e.Organization) // of nothing
	reads(t, c, second, constant(9), "2", Hit)
}

func TestEntriesEnd(t *testing.T) {
	t.Parallel()
	c, client, e := open(t, redisURL(t)), raw(t, redisURL(t)), anEntry(t)
	e.TTL = 100 * LongestTTL
	least, most := time.Duration(1<<62), time.Duration(0)
	for i := range 50 {
		e.Key = string(number(int64(i)))
		reads(t, c, e, constant(1), "1", Miss)
		ttl, err := client.PTTL(t.Context(), e.key()).Result()
		if err != nil {
			t.Fatal(err)
		}
		least, most = min(least, ttl), max(most, ttl)
	}
	if least < LongestTTL*9/10-time.Minute || most > LongestTTL*11/10 || most-least < LongestTTL/50 {
		t.Errorf("lives from %s to %s, want %s and a tenth to both sides", least, most, LongestTTL)
	}
	stamp, err := client.PTTL(t.Context(), stampKey(e.Organization, Contacts)).Result()
	if err != nil || stamp < most {
		t.Errorf("a stamp lives %s, %v, and entries %s", stamp, err, most)
	}
	if keys, err := client.Keys(t.Context(), "*"+e.Organization+"*").Result(); err != nil || len(keys) != 51 {
		t.Errorf("%d keys for 50 entries and a tag, %v", len(keys), err)
	}
}

func TestWhatIsLargeIsNotKept(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	for _, tt := range []struct {
		size int
		then Outcome
	}{{0, Hit}, {MaxValue, Hit}, {MaxValue + 1, Miss}} {
		e.Key = string(number(int64(tt.size)))
		load := func(context.Context) ([]byte, error) { return bytes.Repeat([]byte("x"), tt.size), nil }
		for _, want := range []Outcome{Miss, tt.then} {
			value, how, err := c.Read(t.Context(), e, load)
			if err != nil || len(value) != tt.size || how != want {
				t.Errorf("%d bytes: got %d, %s, %v; want %s", tt.size, len(value), how, err, want)
			}
		}
	}
}

func TestErrorsAndPanicsAreNotKept(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	e.Lease = patience
	broken := errors.New("broken")
	if _, _, err := c.Read(t.Context(), e, func(context.Context) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the load", err)
	}
	if _, _, err := c.Read(t.Context(), e, func(context.Context) ([]byte, error) { panic("oh") }); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("got %v, want the panic of the load", err)
	}
	began := time.Now()
	reads(t, c, e, constant(1), "1", Miss)
	if took := time.Since(began); took > e.Lease/2 {
		t.Errorf("the lease of a load that failed was waited for: %s", took)
	}
}

// crowd reads with n callers at once.
func crowd(t *testing.T, n int, c []*Cache, e Entry, load func(context.Context) ([]byte, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			value, _, err := c[i%len(c)].Read(t.Context(), e, load)
			if err != nil || string(value) != "1" {
				t.Errorf("got %q, %v", value, err)
			}
		})
	}
	wg.Wait()
}

func TestACrowdLoadsOnce(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	for name, tt := range map[string]struct {
		processes int
		lease     time.Duration
		most      int64
	}{
		"in one process":    {1, 0, 1},
		"in three":          {3, 0, 3},
		"in three, a lease": {3, patience, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var list []*Cache
			for range tt.processes {
				list = append(list, open(t, url))
			}
			e := anEntry(t)
			e.Lease = tt.lease
			var loads atomic.Int64
			crowd(t, 60, list, e, func(context.Context) ([]byte, error) {
				loads.Add(1)
				time.Sleep(150 * time.Millisecond) // a load that takes its time
				return number(1), nil
			})
			if loads.Load() > tt.most {
				t.Errorf("%d loads, want %d", loads.Load(), tt.most)
			}
		})
	}
}

// A holder of a lease that dies keeps others waiting for no longer than the lease.
func TestALeaseEnds(t *testing.T) {
	t.Parallel()
	c, client, e := open(t, redisURL(t)), raw(t, redisURL(t)), anEntry(t)
	e.Lease = 300 * time.Millisecond
	if err := client.Set(t.Context(), e.key()+":lease", "of the dead", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	reads(t, c, e, constant(1), "1", Miss)
	if took := time.Since(began); took < e.Lease {
		t.Errorf("waited %s, want %s", took, e.Lease)
	}
	if v := client.Get(t.Context(), e.key()+":lease").Val(); v != "of the dead" {
		t.Errorf("a lease of another was taken away; now %q", v)
	}
	reads(t, c, e, constant(2), "1", Hit)
}

// The first of those who wait for a load hangs up: the load goes on for the others.
func TestALeaderThatHangsUpTakesNobodyWithIt(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	began, resume := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context) ([]byte, error) {
		close(began)
		<-resume
		return number(1), ctx.Err()
	}
	leading, hangUp := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, _, err := c.Read(leading, e, load)
		left <- err
	}()
	<-began
	follower := make(chan string)
	go func() {
		value, _, err := c.Read(t.Context(), e, func(context.Context) ([]byte, error) { return nil, errors.New("a second load") })
		follower <- string(value) + errorText(err)
	}()
	until(t, "the follower has looked", func() bool { return c.looksDone() >= 2 })
	hangUp()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the leader got %v", err)
	}
	close(resume)
	if got := <-follower; got != "1" {
		t.Errorf("the follower got %s", got)
	}
	reads(t, c, e, constant(2), "1", Hit)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Looks that share a pipeline each get their own answer, and one whose caller left takes no other with it.
func TestLooksThatGoTogether(t *testing.T) {
	t.Parallel()
	c := open(t, redisURL(t))
	var wg sync.WaitGroup
	for i := range 64 {
		e := anEntry(t)
		e.Key = string(number(int64(i % 8)))
		want := e.Key
		wg.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%7 == i%7 {
					go cancel()
				}
				value, _, err := c.Read(ctx, e, func(context.Context) ([]byte, error) { return []byte(want), nil })
				if err == nil && string(value) != want || err != nil && ctx.Err() == nil {
					t.Errorf("got %q, %v; want %q", value, err, want)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	reads(t, c, anEntry(t), constant(1), "1", Miss)
}

func TestNilCache(t *testing.T) {
	t.Parallel()
	var c *Cache
	reads(t, c, anEntry(t), constant(1), "1", Bypass)
	bump(t, c, "o", Contacts)
	if err := c.Close(); err != nil || c.Stats() != (Stats{}) {
		t.Errorf("close: %v", err)
	}
}

// Reads are counted by what is read, whichever way, and as often as they are made.
func TestReadsAreCountedByEntry(t *testing.T) {
	t.Parallel()
	c, lists, answers := open(t, redisURL(t)), anEntry(t), anEntry(t)
	answers.Name = "ai:answer"
	reads(t, c, lists, constant(1), "1", Miss)
	reads(t, c, lists, constant(1), "1", Hit)
	reads(t, c, lists, constant(1), "1", Hit)
	claim := c.Claim(t.Context(), answers, "", patience)
	claim.Keep(t.Context(), number(1))
	claim.Release(t.Context())
	c.Claim(t.Context(), answers, "", patience).Release(t.Context())
	want := map[string]Reads{"contact:list": {Hits: 2, Misses: 1}, "ai:answer": {Hits: 1, Misses: 1}}
	if got := c.Entries(); !maps.Equal(got, want) || c.Stats().Reads != (Reads{Hits: 3, Misses: 2}) {
		t.Errorf("got %v, together %v, want %v", got, c.Stats().Reads, want)
	}
}

// Not parallel: it looks at all goroutines.
func TestNothingRunsAfterClose(t *testing.T) {
	url := redisURL(t)
	before := goleak.IgnoreCurrent()
	c, err := Open(Options{URL: url, ReadTimeout: patience, WriteTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	loading, resume := make(chan struct{}), make(chan struct{})
	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _, _ = c.Read(ctx, anEntry(t), func(context.Context) ([]byte, error) {
			close(loading)
			<-resume
			return number(1), nil
		})
	}()
	<-loading
	hangUp()
	<-left
	time.AfterFunc(50*time.Millisecond, func() { close(resume) })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
	reads(t, c, anEntry(t), constant(2), "2", Bypass)
}

func TestOpenHidesThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"redis://:secret@host:port", "http://:secret@host", "%zz:secret"} {
		if c, err := Open(Options{URL: url}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", url, c, err)
		}
	}
}
