package api

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

func TestRepeatedRequestGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for _, c := range []struct {
		name, key, path, body, other string
		status                       int
	}{
		{"job", key, "/api/jobs", aCompletion, strings.Replace(aCompletion, "hello", "bye", 1), 202},
		{"batch", key, "/api/jobs/batch", `{"jobs":[` + aCompletion + `]}`, `{"jobs":[` + aCompletion + `] }`, 202},
		{"key", key, "/api/api-keys", `{"name":"a","scopes":["read"]}`, `{"name":"b","scopes":["read"]}`, 201},
		{"organization", testAdminKey, "/api/organizations", `{"name":"a","state":"Goa"}`, `{"name":"b","state":"Goa"}`, 201},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first := g.call(t, c.key, "POST", c.path, c.body, "Idempotency-Key", "k-1").want(c.status)
			if first.header.Get("Idempotency-Replayed") != "" {
				t.Error("the first answer calls itself a repeat")
			}
			for _, spelled := range []string{`k-1`, `"k-1"`, ` k-1 `} {
				again := g.call(t, c.key, "POST", c.path, c.body, "Idempotency-Key", spelled).want(c.status)
				if string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" {
					t.Errorf("spelled %s: got %s, want %s", spelled, again.body, first.body)
				}
				for _, name := range []string{"Location", "Retry-After", "Content-Type"} {
					if again.header.Get(name) != first.header.Get(name) {
						t.Errorf("%s is %q, was %q", name, again.header.Get(name), first.header.Get(name))
					}
				}
			}
			g.call(t, c.key, "POST", c.path, c.other, "Idempotency-Key", "k-1").problem(422, "idempotency_key_reused")
			if other := g.call(t, c.key, "POST", c.path, c.body, "Idempotency-Key", "k-2").want(c.status); string(other.body) == string(first.body) {
				t.Error("another key got the same answer")
			}
		})
	}
}

func TestFiftyAtOnceMakeOneJob(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	var wg sync.WaitGroup
	replies := make([]*reply, 50)
	for i := range replies {
		wg.Go(func() {
			replies[i] = g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "all the same")
		})
	}
	wg.Wait()
	fresh, bodies := 0, map[string]bool{}
	for _, r := range replies {
		r.want(202)
		bodies[string(r.body)] = true
		if r.header.Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	if n := g.count(t, `SELECT count(*) FROM jobs`); n != 1 || fresh != 1 || len(bodies) != 1 {
		t.Errorf("%d jobs, %d first answers, %d different ones", n, fresh, len(bodies))
	}
	if n := g.count(t, `SELECT count(*) FROM outbox`); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestRepeatWhileTheFirstIsInFlight(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = g.system.TxAs(context.Background(), org, func(tx pgx.Tx) error {
			_, err := store.ClaimIdempotencyKey(context.Background(), tx, store.IdempotencyKey{OrganizationID: org,
				Scope: "POST /api/jobs", Key: "slow", Fingerprint: []byte("x")})
			if err != nil {
				t.Error(err)
			}
			close(held)
			<-release
			return errors.New("undo")
		})
	})
	<-held
	r := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "slow")
	r.problem(409, "idempotency_key_in_flight")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	wg.Wait()
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "slow").want(202)
}

func TestFailureLeavesNoKey(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.magic","input":{}}`, "Idempotency-Key", "k").problem(422, "unknown_kind")
	owner, err := pgx.Connect(t.Context(), g.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	if _, err := owner.Exec(t.Context(), `REVOKE INSERT ON outbox FROM payaid_app`); err != nil {
		t.Fatal(err)
	}
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k").problem(500, "internal")
	if n := g.count(t, `SELECT (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM jobs)`); n != 0 {
		t.Errorf("a failed transaction left %d rows", n)
	}
	if _, err := owner.Exec(t.Context(), `GRANT INSERT ON outbox TO payaid_app`); err != nil {
		t.Fatal(err)
	}
	if r := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k").want(202); r.header.Get("Idempotency-Replayed") != "" {
		t.Error("the failure was kept as an answer")
	}
}

func TestKeyRunsOutAfterADay(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	first := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k").want(202)
	age := func(interval string) {
		if _, err := g.system.Pool().Exec(t.Context(), `UPDATE idempotency_keys SET created_at = now() - $1::text::interval`, interval); err != nil {
			t.Fatal(err)
		}
	}
	age("23 hours 59 minutes")
	if r := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k"); string(r.body) != string(first.body) {
		t.Errorf("forgotten too early: %s", r.body)
	}
	age("24 hours 1 minute")
	r := g.call(t, key, "POST", "/api/jobs", strings.Replace(aCompletion, "hello", "bye", 1), "Idempotency-Key", "k").want(202)
	if r.header.Get("Idempotency-Replayed") != "" {
		t.Error("an answer of yesterday came back")
	}
}

func TestKeptAnswerIsSealed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	second := g.key(t, key, "read write jobs")
	var k newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"]}`, "Idempotency-Key", "k").want(201).json(&k)
	if n := g.count(t, `SELECT count(*) FROM idempotency_keys WHERE position('`+k.Key+`'::bytea IN body) > 0 OR position('pay_'::bytea IN body) > 0`); n != 0 {
		t.Error("the new key lies open in the database")
	}
	// The same organization with another key: nothing is made twice, and nothing is shown.
	g.call(t, second, "POST", "/api/api-keys", `{"name":"k","scopes":["read"]}`, "Idempotency-Key", "k").problem(422, "idempotency_key_reused")
}

func TestIdempotencyKeyOfAnotherOrganization(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, a := g.organization(t)
	_, b := g.organization(t)
	one := g.submit(t, a, aCompletion, "Idempotency-Key", "k")
	two := g.submit(t, b, aCompletion, "Idempotency-Key", "k")
	if one.ID == two.ID {
		t.Error("two organizations share an answer")
	}
}

func TestMalformedIdempotencyKeys(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for _, header := range []string{"", `""`, `"open`, `"a"b"`, `"a\b"`, strings.Repeat("x", 256), "ключ"} {
		g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", header).problem(400, "invalid_header")
	}
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", strings.Repeat("x", 255)).want(202)
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{"", "a", `"a"`, `"a\"b\\"`, `"`, `"\`, "\x00", strings.Repeat("a", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		key, err := parseIdempotencyKey(header)
		if err != nil {
			return
		}
		if len(key) < 1 || len(key) > 255 {
			t.Errorf("%q became %q", header, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := parseIdempotencyKey(quoted); err != nil || again != key {
			t.Errorf("%q became %q, quoted %q, %v", header, key, again, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(newCursor("01a20280-8978-7941-82b6-27e3bdd15c47", "jobs", "queued"))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		id, err := parseCursor(cursor, "jobs", "queued")
		if err != nil || id == "" {
			return
		}
		if again := newCursor(id, "jobs", "queued"); again != cursor {
			t.Errorf("%q stands for %s, which is %q", cursor, id, again)
		}
		if _, err := parseCursor(cursor, "jobs", "failed"); err == nil {
			t.Error("the cursor fits other filters")
		}
	})
}

func FuzzUnstorable(f *testing.F) {
	for _, s := range []string{`{"a":"\u0000"}`, `["\ud800\udc00",1e9]`, `"\ud800\u0041"`, `{"a/b":[true,{"\udc00":1}]}`, `[1E+70000]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body) != nil {
			// Whatever is refused was refused without a panic, which is half of what is asked.
			return
		}
		if fault := unstorable(body); fault != nil {
			t.Errorf("%s passed with %v", body, fault)
		}
	})
}

// An Idempotency-Key is one of a method and path, so it may be used on another again.
func TestIdempotencyKeyCountsForItsPath(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	first := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k").want(202).job()
	for path, body := range map[string]string{"/api/contacts": `{"name":"Asha"}`, "/api/jobs/batch": `{"jobs":[` + aCompletion + `]}`} {
		if r := g.call(t, key, "POST", path, body, "Idempotency-Key", "k"); r.status >= 300 || r.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if again := g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "k").want(202).job(); again.ID != first.ID {
		t.Errorf("got the job %s, want %s", again.ID, first.ID)
	}
}
