package api

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Who has got hold of a bound key makes no freer one of it.
func TestBoundKeyPassesOnItsBounds(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	at := func(d time.Duration) string { return until.Add(d).Format(time.RFC3339) }
	create := func(by, more string) *reply {
		return g.call(t, by, "POST", "/api/api-keys", `{"name":"k","scopes":["read","write"]`+more+`}`)
	}
	var bound newKeyView
	create(key, `,"rate_limit":50,"ip_allow":["127.0.0.0/8","2001:db8::/32","::1"],"expires_at":"`+at(0)+`"`).want(201).json(&bound)
	same := fmt.Sprintln(50, bound.IPAllow, until)
	bounds := func(k newKeyView) string { return fmt.Sprintln(*k.RateLimit, k.IPAllow, k.ExpiresAt.UTC()) }
	for more, want := range map[string]string{
		"":                                     same,
		`,"rate_limit":null,"expires_at":null`: same,
		`,"rate_limit":50,"ip_allow":["127.0.0.0/8"],"expires_at":"` + at(0) + `"`:                           fmt.Sprintln(50, "[127.0.0.0/8]", until),
		`,"rate_limit":1,"ip_allow":["127.0.0.1","2001:db8:1::/48"],"expires_at":"` + at(-time.Minute) + `"`: fmt.Sprintln(1, "[127.0.0.1 2001:db8:1::/48]", until.Add(-time.Minute)),
	} {
		var made newKeyView
		create(bound.Key, more).want(201).json(&made)
		if got := bounds(made); got != want {
			t.Errorf("%s: got %s, want %s", more, got, want)
		}
		// What was inherited binds the next.
		create(made.Key, `,"rate_limit":51`).problem(422, "validation_failed", "/rate_limit")
		create(made.Key, `,"ip_allow":["0.0.0.0/0"]`).problem(422, "validation_failed", "/ip_allow/0")
	}
	for more, want := range map[string][2]string{
		`,"rate_limit":51`:                               {"/rate_limit", "50"},
		`,"expires_at":"` + at(time.Second) + `"`:        {"/expires_at", at(0)},
		`,"ip_allow":[]`:                                 {"/ip_allow", "bound to addresses"},
		`,"ip_allow":["126.0.0.0/7"]`:                    {"/ip_allow/0", "bound to"},
		`,"ip_allow":["127.0.0.1","203.0.113.9"]`:        {"/ip_allow/1", "bound to"},
		`,"ip_allow":["127.0.0.1","::/0"]`:               {"/ip_allow/1", "bound to"},
		`,"ip_allow":["home"]`:                           {"/ip_allow/0", "must be an address"},
		`,"ip_allow":["::1","2001:db8::/31"]`:            {"/ip_allow/1", "bound to"},
		`,"rate_limit":50,"ip_allow":["127.0.0.1/0"]`:    {"/ip_allow/0", "bound to"},
		`,"ip_allow":["127.0.0.1"],"rate_limit":1000000`: {"/rate_limit", "50"},
	} {
		p := create(bound.Key, more).problem(422, "validation_failed", want[0])
		if !strings.Contains(p.Errors[0].Detail, want[1]) {
			t.Errorf("%s: %q doesn't say %s", more, p.Errors[0].Detail, want[1])
		}
	}
	// Whoever is not bound may bind as they like.
	create(testAdminKey, `,"rate_limit":1000000,"ip_allow":["203.0.113.9"],"expires_at":"`+at(9999*time.Hour)+`"`).want(201)
	create(key, `,"rate_limit":51,"ip_allow":["0.0.0.0/0"],"expires_at":"`+at(9999*time.Hour)+`"`).want(201)
	create(key, "").want(201)
}

// Each bound alone leaves the others free.
func TestBoundsArePassedOnOneByOne(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	far := time.Now().Add(1000 * time.Hour).UTC().Format(time.RFC3339)
	bounds := map[string]string{"rate_limit": "7", "ip_allow": `["127.0.0.1"]`, "expires_at": `"` + far + `"`}
	for name, value := range bounds {
		var k newKeyView
		g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["write"],"`+name+`":`+value+`}`).want(201).json(&k)
		for other, value := range bounds {
			if other != name {
				g.call(t, k.Key, "POST", "/api/api-keys", `{"name":"k","scopes":["write"],"`+other+`":`+value+`}`).want(201)
			}
		}
	}
}
