package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestClientIP(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:aaaa::/48"), netip.MustParsePrefix("192.0.2.7/32")}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		{"[2001:db8::1%eth0]:1", nil, "2001:db8::1"},
		{"@", nil, "invalid IP"},
		{"@", []string{"203.0.113.9"}, "invalid IP"},
		// Nobody but a trusted proxy is heard.
		{"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"203.0.113.9:1", []string{"198.51.100.1, 10.0.0.1"}, "203.0.113.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[2001:db8:aaaa::1]:1", []string{"2001:db8:bbbb::9"}, "2001:db8:bbbb::9"},
		// What the client itself wrote stands on the left, whatever it is.
		{"10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1, 10.9.9.9, 192.0.2.7"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.1.1.1", "198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1", "10.9.9.9, 192.0.2.7"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1,,  10.9.9.9 ,"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"[2001:db8::5]:4711"}, "2001:db8::5"},
		{"10.0.0.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"10.2.2.2, 10.3.3.3"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.1, unknown, 10.9.9.9"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", []string{", ,"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := clientIP(r, trusted).String(); got != c.want {
			t.Errorf("%s, forwarded %q: got %s, want %s", c.peer, c.forwarded, got, c.want)
		}
		if got, want := clientIP(r, nil), clientIP(&http.Request{RemoteAddr: c.peer}, trusted); got != want {
			t.Errorf("%s, forwarded %q, nobody trusted: got %s", c.peer, c.forwarded, got)
		}
	}
}

func TestLimitedAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.9": "ip:203.0.113.9", "2001:db8:1:2:3:4:5:6": "ip:2001:db8:1:2::/64", "2001:db8:1:2::": "ip:2001:db8:1:2::/64",
	} {
		if got := limitedAddress(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if got := limitedAddress(netip.Addr{}); got != "ip:invalid IP" {
		t.Errorf("no address: %s", got)
	}
}

// FuzzClientIP wants that no header of a client behind a trusted proxy changes which address counts.
func FuzzClientIP(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "x, y", "[::1]:5", "10.0.0.1,10.0.0.2", ",", "\x00", strings.Repeat("1.1.1.1,", 1000)} {
		f.Add(s)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, written string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-For"] = []string{written, "198.51.100.1"}
		if got := clientIP(r, trusted).String(); got != "198.51.100.1" {
			t.Errorf("%q makes it %s", written, got)
		}
	})
}

// A key's addresses are those of clients, not of the proxy before us.
func TestAddressesOfAKeyBehindProxy(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	_, key := g.organization(t)
	var k newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"],"ip_allow":["203.0.113.0/24"]}`).want(201).json(&k)
	g.call(t, k.Key, "GET", "/api/organization", "", "X-Forwarded-For", "203.0.113.9").want(200)
	g.call(t, k.Key, "GET", "/api/organization", "", "X-Forwarded-For", "203.0.113.9, 198.51.100.1").problem(403, "forbidden")
	g.call(t, k.Key, "GET", "/api/organization", "").problem(403, "forbidden")
	direct := newRig(t)
	_, key = direct.organization(t)
	direct.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"],"ip_allow":["203.0.113.0/24"]}`).want(201).json(&k)
	direct.call(t, k.Key, "GET", "/api/organization", "", "X-Forwarded-For", "203.0.113.9").problem(403, "forbidden")
}
