package webhook

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// listed is a policy with some of everything.
func listed() Policy {
	return Policy{AllowHTTP: true, Networks: prefixes("10.20.0.0/16", "fd00:1::/32"), Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9999")}}
}

func TestCheckURLNormalizes(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://hooks.example.com":                        "https://hooks.example.com/",
		"HTTPS://Hooks.Example.COM.:443/In?a=B%20c":        "https://hooks.example.com/In?a=B%20c",
		"https://hooks.example.com:/":                      "https://hooks.example.com/",
		"https://hooks.example.com:08443":                  "https://hooks.example.com:8443/",
		"https://hooks.example.com?x":                      "https://hooks.example.com/?x",
		"https://hooks.example.com/?":                      "https://hooks.example.com/?",
		"https://hooks.example.com/a/../b//c;d=e?[]=@:/?!": "https://hooks.example.com/a/../b//c;d=e?[]=@:/?!",
		"https://xn--bcher-kva.example":                    "https://xn--bcher-kva.example/",
		"https://my_app.example.com":                       "https://my_app.example.com/",
		"https://0xabc.example.com":                        "https://0xabc.example.com/",
		"https://8.8.8.8./":                                "https://8.8.8.8/",
		"https://[2606:4700:0:0::1111]:8443/":              "https://[2606:4700::1111]:8443/",
		"https://[::ffff:8.8.8.8]/":                        "https://[::ffff:8.8.8.8]/",
		"https://[64:ff9b::808:808]/":                      "https://[64:ff9b::808:808]/",
	} {
		got, err := Policy{}.CheckURL(raw)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", raw, got, err, want)
		}
	}
	for raw, want := range map[string]string{
		"http://example.com:80": "http://example.com/", "http://example.com:443": "http://example.com:443/", "https://example.com:80": "https://example.com:80/",
		"http://10.20.30.40": "http://10.20.30.40/", "https://[fd00:1::5]": "https://[fd00:1::5]/", "http://receiver:8080/in": "http://receiver:8080/in",
		"http://localhost:3000": "http://localhost:3000/", "http://127.0.0.1:9999/x": "http://127.0.0.1:9999/x", "http://[::ffff:10.20.0.1]": "http://[::ffff:10.20.0.1]/",
	} {
		if got, err := listed().CheckURL(raw); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", raw, got, err, want)
		}
	}
}

// What is refused is refused in words that help.
func TestCheckURLRefuses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "1 to 2048 characters",
		"https://a.example/" + strings.Repeat("x", 2031): "1 to 2048 characters",
		"hooks.example.com":                               "must begin with https://",
		"ftp://hooks.example.com":                         "must begin with https://",
		"http://hooks.example.com":                        "must begin with https://",
		"https:hooks.example.com":                         "must begin with https://",
		"https://me:word@hooks.example.com":               "must not hold a user or password",
		"https://hooks.example.com/#top":                  "fragment",
		"https://hooks.example.com/a b":                   "spaces",
		"https://hooks.example.com\\in":                   `must not hold a \`,
		"https://hooks.example.com/{id}":                  "must have %7B in place of {",
		"https://hooks.example.com/%zz":                   "two hexadecimal digits",
		"https://hooks.example.com/%4":                    "two hexadecimal digits",
		"https://bücher.example":                          "xn--",
		"https://intranet/":                               "the whole Internet knows",
		"https://nas.home.arpa/":                          "the whole Internet knows",
		"https://hooks..example.com":                      "letters, digits and hyphens",
		"https://-hooks.example.com":                      "letters, digits and hyphens",
		"https://" + strings.Repeat("a", 64) + ".example": "letters, digits and hyphens",
		"https://[::1%25lo]/":                             "without a zone",
		"https://[8.8.8.8]/":                              "IPv6 address",
		"https://0x8.8.8.8":                               "",
		"https://8.8.8.0x8":                               "four decimal numbers",
		"https://8.8.2056":                                "four decimal numbers",
		"https://08.8.8.8":                                "four decimal numbers",
		"https://10.1.2.3":                                "must not name an address that isn't public",
		"https://hooks.example.com:25":                    "must have another port: 25 is that of smtp",
		"https://hooks.example.com:0":                     "port from 1 to 65535",
		"https://hooks.example.com:65536":                 "port from 1 to 65535",
		"https://hooks.example.com:+443":                  "port from 1 to 65535",
		"https://hooks.example.com:4 43":                  "spaces",
		"https://127.0.0.1:9999":                          "must not name an address that isn't public",
	} {
		if got, err := (Policy{}).CheckURL(raw); err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %q, %v, want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{"http://10.21.0.1", "http://127.0.0.1:9998", "http://[::1]", "http://10.20.0.1:22", "http://[fd00:2::1]"} {
		if got, err := listed().CheckURL(raw); err == nil {
			t.Errorf("%s: got %q", raw, got)
		}
	}
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	check := func(p Policy, list string, want bool) {
		for _, one := range strings.Fields(list) {
			addr, err := netip.ParseAddr(one)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.CheckAddr(netip.AddrPortFrom(addr, 443)); (err == nil) != want {
				t.Errorf("%s: got %v, want allowed %v", one, err, want)
			}
		}
	}
	check(Policy{}, `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17
		169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
		203.0.112.255 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 2606:4700::1111 2001:200::1 2001:4860:4860::8888 2400:: 2a00:: 3ffe:ffff:: 3fff:1000::
		64:ff9b::8.8.8.8 2002:808:808::1 2606:4700::5efe:8.8.8.8`, true)
	check(Policy{}, `0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 100.100.100.200 127.0.0.0 127.255.255.255 168.63.129.16
		169.254.0.0 169.254.169.254 169.254.170.2 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0
		192.168.255.255 192.175.48.1 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
		:: ::1 ::8.8.8.8 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 64:ff9b:1:: 100::1
		1fff:: 2001:: 2001:0:808:808:: 2001:10::1 2001:20::1 2001:2::1 2001:db8::1 2001:1ff:: 2002:a00:1:: 2002:7f00:1:: 2002:a9fe:a9fe:: 2620:4f:8000::1 3fff::1 3fff:fff::
		4000:: 5f00::1 fc00:: fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 ffff:: 2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1`, false)
	check(listed(), "10.20.0.0 10.20.255.255 ::ffff:10.20.1.1 64:ff9b::10.20.1.1 fd00:1::1 8.8.8.8", true)
	check(listed(), "10.19.255.255 10.21.0.0 fd00:2::1 fd00:1::1%eth0 127.0.0.1 ::10.20.1.1 ::1", false)
	check(Policy{Networks: prefixes("0.0.0.0/0", "::/0")}, "127.0.0.1 ::1 10.0.0.1 169.254.169.254 fe80::1", true)
	for port := range badPorts {
		if err := listed().CheckAddr(netip.AddrPortFrom(netip.MustParseAddr("10.20.0.1"), port)); err == nil {
			t.Errorf("port %d is let through", port)
		}
	}
	if len(badPorts) != 83 {
		t.Errorf("there are %d bad ports", len(badPorts))
	}
	if err := (Policy{}).CheckAddr(netip.AddrPort{}); err == nil {
		t.Error("no address is let through")
	}
	for end, want := range map[string]bool{"127.0.0.1:9999": true, "[::ffff:127.0.0.1]:9999": true, "127.0.0.1:9998": false, "127.0.0.2:9999": false} {
		if err := listed().CheckAddr(netip.MustParseAddrPort(end)); (err == nil) != want {
			t.Errorf("%s: got %v", end, err)
		}
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://example.com/a?b": "https://example.com", "https://example.com:8443/": "https://example.com:8443",
		"http://[fd00:1::5]:81/x": "http://[fd00:1::5]:81", "https://example.com/?u=http://other.example/": "https://example.com",
	} {
		if got := Origin(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

// FuzzCheckURL: a normal form is its own normal form, the standard library finds the same host in it, an address that it
// names may be connected to, and the strict policy takes nothing that the lax one refuses.
func FuzzCheckURL(f *testing.F) {
	for _, template := range hostile {
		f.Add(strings.NewReplacer("{s}", "https", "{p}", "8443").Replace(template))
		f.Add(strings.NewReplacer("{s}", "http", "{p}", "8443").Replace(template))
	}
	for _, one := range []string{"https://hooks.example.com/in?a=b", "HTTPS://EXAMPLE.com.:0443?", "https://[2606:4700::1111]:/%41", "http://10.20.1.1"} {
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, p := range []Policy{{}, {AllowHTTP: true}, listed()} {
			normal, err := p.CheckURL(raw)
			if err != nil {
				if normal != "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
					t.Errorf("%q: got %q, %v", raw, normal, err)
				}
				continue
			}
			if again, err := p.CheckURL(normal); err != nil || again != normal {
				t.Errorf("%q: %q became %q, %v", raw, normal, again, err)
			}
			u, err := url.Parse(normal)
			if err != nil || u.User != nil || u.Fragment != "" || Origin(normal) != u.Scheme+"://"+u.Host || !strings.HasPrefix(u.RequestURI(), "/") {
				t.Fatalf("%q: %q is read as %+v, %v", raw, normal, u, err)
			}
			port := 443
			if u.Scheme == "http" {
				port = 80
			}
			if u.Port() != "" {
				port, _ = strconv.Atoi(u.Port())
			}
			if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
				if err := p.CheckAddr(netip.AddrPortFrom(addr, uint16(port))); err != nil {
					t.Errorf("%q: %q is let through: %v", raw, normal, err)
				}
			}
			if _, err := listed().CheckURL(raw); err != nil {
				t.Errorf("%q: the stricter policy alone takes it: %v", raw, err)
			}
		}
	})
}

// FuzzRetryAfter: whatever is said, nobody is left alone for less than nothing or more than a day.
func FuzzRetryAfter(f *testing.F) {
	for _, one := range []string{"", "0", "120", "-1", "99999999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT", "Mon, 01 Jan 9999 00:00:00 GMT", "soon", "1.5"} {
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, someTime); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: got %s", value, d)
		}
	})
}
