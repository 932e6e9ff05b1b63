package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// hostile are URLs that want to reach what listens on this machine or beside it: {s} is a scheme, {p} the port of
// a canary.
var hostile = []string{
	// Loopback, as it is written in programs of all ages.
	"{s}://127.0.0.1:{p}/", "{s}://127.0.0.1.:{p}/", "{s}://127.1:{p}/", "{s}://127.0.1:{p}/", "{s}://2130706433:{p}/",
	"{s}://0177.0.0.1:{p}/", "{s}://017700000001:{p}/", "{s}://0x7f.0.0.1:{p}/", "{s}://0x7f000001:{p}/", "{s}://0X7F.1:{p}/",
	"{s}://127.000.000.001:{p}/", "{s}://127.0.0.2:{p}/", "{s}://127.255.255.254:{p}/", "{s}://0.0.0.0:{p}/", "{s}://0:{p}/",
	"{s}://0x0:{p}/", "{s}://127.0.0.1.0x1:{p}/", "{s}://4294967297:{p}/", "{s}://256.256.256.256:{p}/", "{s}://127.0.0.0x1:{p}/",
	// IPv6, and IPv4 within it.
	"{s}://[::1]:{p}/", "{s}://[0:0:0:0:0:0:0:1]:{p}/", "{s}://[::]:{p}/", "{s}://[::ffff:127.0.0.1]:{p}/", "{s}://[::ffff:7f00:1]:{p}/",
	"{s}://[::127.0.0.1]:{p}/", "{s}://[::ffff:0:127.0.0.1]:{p}/", "{s}://[64:ff9b::7f00:1]:{p}/", "{s}://[64:ff9b:1::7f00:1]:{p}/",
	"{s}://[2002:7f00:1::]:{p}/", "{s}://[2001:0:7f00:1::]:{p}/", "{s}://[2600::5efe:127.0.0.1]:{p}/", "{s}://[::1%25lo]:{p}/",
	"{s}://[::1%lo]:{p}/", "{s}://[fe80::1%25lo]:{p}/", "{s}://[127.0.0.1]:{p}/", "{s}://[::1]x:{p}/", "{s}://[[::1]]:{p}/", "{s}://[::1:{p}/",
	"{s}://::1:{p}/",
	// Names of this machine.
	"{s}://localhost:{p}/", "{s}://LocalHost:{p}/", "{s}://localhost.:{p}/", "{s}://a.localhost:{p}/", "{s}://localhost.localdomain:{p}/",
	"{s}://ip6-localhost:{p}/", "{s}://localhost..:{p}/", "{s}://metadata.google.internal:{p}/", "{s}://printer.local:{p}/",
	// Programs disagree about where the host is.
	"{s}://example.com@127.0.0.1:{p}/", "{s}://user:word@127.0.0.1:{p}/", "{s}://@127.0.0.1:{p}/", "{s}://127.0.0.1:{p}#@example.com/",
	"{s}://127.0.0.1:{p}\\@example.com/", "{s}://example.com\\@127.0.0.1:{p}/", "{s}:\\\\127.0.0.1:{p}\\", "{s}://example.com%40127.0.0.1:{p}/",
	"{s}://%31%32%37.0.0.1:{p}/", "{s}://127%2e0.0.1:{p}/", "{s}:127.0.0.1:{p}/", "{s}:/127.0.0.1:{p}/", "{s}:///127.0.0.1:{p}/", "//127.0.0.1:{p}/",
	"127.0.0.1:{p}/", "{s}://127.0.0.1:{p}:{p}/", "{s}://127.0.0.1;.example.com:{p}/", "{s}://127.0.0.1,example.com:{p}/",
	// Characters that some drop and some don't.
	"{s}://127.0.0.1\t:{p}/", "{s}://127.0\n.0.1:{p}/", "{s}://127.0.0.1:{p}/\r\nHost: example.com", " {s}://127.0.0.1:{p}/", "{s}://127.0.0.1 :{p}/",
	"{s}://127.0.0.1\x00.example.com:{p}/", "{s}://127。0。0。1:{p}/", "{s}://１２７.０.０.１:{p}/", "{s}://①②⑦.⓪.⓪.①:{p}/", "{s}://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{p}/",
	"{s}://local\u00adhost:{p}/", "{s}://127.0.0.1：{p}/",
	// Ports, and what is no port.
	"{s}://127.0.0.1:0{p}/", "{s}://127.0.0.1:+{p}/", "{s}://127.0.0.1:-{p}/", "{s}://127.0.0.1:{p}x/", "{s}://127.0.0.1:/{p}",
	"{s}://127.0.0.1:99999/", "{s}://127.0.0.1:0/", "{s}://example.com:22/", "{s}://example.com:25/", "{s}://example.com:6667/",
	// Other ways to speak.
	"file:///etc/passwd", "gopher://127.0.0.1:{p}/_GET%20/", "ftp://127.0.0.1:{p}/", "dict://127.0.0.1:{p}/", "ws://127.0.0.1:{p}/",
	"unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "jar:{s}://127.0.0.1:{p}/!/", "data:text/plain,x", "javascript:1",
	// Clouds' own services, private networks, nobody.
	"{s}://169.254.169.254/latest/meta-data/", "{s}://[fd00:ec2::254]/", "{s}://168.63.129.16/", "{s}://100.100.100.200/", "{s}://192.0.0.192/",
	"{s}://10.0.0.1/", "{s}://172.16.0.1/", "{s}://192.168.1.1/", "{s}://[fc00::1]/", "{s}://255.255.255.255/", "{s}://224.0.0.1/", "{s}://[ff02::1]/",
	"", "{s}://", "{s}://:{p}/", "{s}://.:{p}/", "{s}://" + strings.Repeat("a.", 2000) + "example.com:{p}/",
	// Names that lead there, by the test's own name server.
	"{s}://four.hostile.example:{p}/", "{s}://six.hostile.example:{p}/", "{s}://both.hostile.example:{p}/", "{s}://mapped.hostile.example:{p}/",
	"{s}://nat64.hostile.example:{p}/", "{s}://zero.hostile.example:{p}/", "{s}://127.0.0.1.hostile.example:{p}/", "{s}://alias.hostile.example:{p}/",
	"{s}://chain.hostile.example:{p}/", "{s}://metadata.hostile.example/", "{s}://nowhere.hostile.example:{p}/", "{s}://FOUR.hostile.example.:{p}/",
}

func hostileNames() map[string][][]dnsmessage.ResourceBody {
	names := make(map[string][][]dnsmessage.ResourceBody)
	for name, values := range map[string][]string{
		"four": {"127.0.0.1"}, "six": {"::1"}, "both": {"127.0.0.1", "::1"}, "mapped": {"::ffff:127.0.0.1"}, "nat64": {"64:ff9b::7f00:1"},
		"zero": {"0.0.0.0", "::"}, "127.0.0.1": {"127.0.0.1"}, "alias": {"localhost.", "127.0.0.1"},
		"chain": {"alias.hostile.example.", "localhost.", "127.0.0.1", "::1"}, "metadata": {"169.254.169.254"},
		"mixed": {"127.0.0.1", allowed, "::1"}, "good": {allowed},
	} {
		names[name+".hostile.example."] = [][]dnsmessage.ResourceBody{records(values...)}
	}
	names["turning.hostile.example."] = [][]dnsmessage.ResourceBody{records(allowed), records("127.0.0.1"), records("::1")}
	return names
}

// allowed is an address of a receiver that the operator has listed; its neighbours aren't.
const allowed = "127.0.0.3"

// canaries listen where nothing may come, and count what does.
func canaries(t *testing.T) []*listener {
	t.Helper()
	sing := respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	return []*listener{listen(t, "127.0.0.1:0", sing), listen(t, "[::1]:0", sing), listen(t, "127.0.0.2:0", sing), listen(t, ":0", sing)}
}

func silent(t *testing.T, list []*listener, after string) {
	t.Helper()
	for _, c := range list {
		if n := c.accepted.Swap(0); n != 0 {
			t.Errorf("%q reached %s %d times", after, c.Addr(), n)
		}
	}
}

// Nothing that listens here is reached, whatever the URL says and whether or not http is allowed.
func TestHostileURLsReachNobody(t *testing.T) {
	t.Parallel()
	birds, names := canaries(t), resolver(t, hostileNames())
	for _, template := range hostile {
		for scheme, allowHTTP := range map[string]bool{"https": false, "http": true} {
			client := testClient(t, Config{Policy: Policy{AllowHTTP: allowHTTP}, Resolver: names, Timeout: 3 * time.Second})
			for _, bird := range birds {
				url := strings.NewReplacer("{s}", scheme, "{p}", bird.port()).Replace(template)
				a := client.Send(t.Context(), delivery(url))
				switch a.Code {
				case InvalidURL, RefusedAddress, DNS:
				default:
					t.Errorf("%q: got %q, %s", url, a.Code, a.Detail)
				}
				if strings.Contains(template, "hostile.example") != (a.Code != InvalidURL) {
					t.Errorf("%q: got %q, %s", url, a.Code, a.Detail)
				}
				if a.Address != "" || a.StatusCode != 0 {
					t.Errorf("%q: reached %s, which answered %d", url, a.Address, a.StatusCode)
				}
				silent(t, birds, url)
			}
		}
	}
}

// This machine's own addresses are no receivers either, unless they are the Internet's.
func TestThisMachineIsNotReached(t *testing.T) {
	t.Parallel()
	birds := canaries(t)
	everywhere := birds[len(birds)-1]
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	client := testClient(t, Config{Policy: Policy{AllowHTTP: true}})
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || (Policy{}).reaches(prefix.Addr()) {
			continue
		}
		url := "http://" + net.JoinHostPort(prefix.Addr().WithZone("").String(), everywhere.port())
		if got := client.Send(t.Context(), delivery(url)); got.Code != InvalidURL {
			t.Errorf("%s: got %q, %s", url, got.Code, got.Detail)
		}
		silent(t, birds, url)
	}
}

// The canaries do sing: a client that may reach them does, by the same URLs.
func TestCanariesSing(t *testing.T) {
	t.Parallel()
	client := testClient(t, Config{Policy: Policy{AllowHTTP: true, Networks: loopback}, Resolver: resolver(t, hostileNames())})
	for i, bird := range canaries(t) {
		host := []string{"four.hostile.example", "six.hostile.example", "127.0.0.2", "both.hostile.example"}[i]
		if a := client.Send(t.Context(), delivery("http://"+host+":"+bird.port())); a.Code != "" || bird.accepted.Load() == 0 {
			t.Errorf("%s: got %q, %s", host, a.Code, a.Detail)
		}
	}
}

// onlyAllowed may reach one address of this machine.
func onlyAllowed() Policy {
	return Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix(allowed + "/32")}}
}

// respond answers each request on a connection.
func respond(answer string) func(net.Conn) {
	return func(c net.Conn) {
		for in := bufio.NewReader(c); ; {
			request, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = in.Discard(int(max(request.ContentLength, 0)))
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
		}
	}
}

// A name with public and private addresses is reached at the public ones, and one that turns from public to private
// not any more: it is the address of each connection that counts.
func TestNamesThatTurn(t *testing.T) {
	t.Parallel()
	receiver := listen(t, allowed+":0", respond("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
	canary := listen(t, "127.0.0.1:"+receiver.port(), func(net.Conn) {})
	client := testClient(t, Config{Policy: onlyAllowed(), Resolver: resolver(t, hostileNames())})
	if a := client.Send(t.Context(), delivery("http://mixed.hostile.example:"+receiver.port())); a.Code != "" || a.Address != receiver.Addr().String() {
		t.Errorf("mixed: got %q at %s, %s", a.Code, a.Address, a.Detail)
	}
	turning := "http://turning.hostile.example:" + receiver.port()
	if a := client.Send(t.Context(), delivery(turning)); a.Code != "" {
		t.Errorf("turning, at first: got %q, %s", a.Code, a.Detail)
	}
	for range 3 {
		a := client.Send(t.Context(), delivery(turning))
		if a.Code != RefusedAddress || strings.Contains(a.Detail, "127.") {
			t.Errorf("turning, then: got %q, %s", a.Code, a.Detail)
		}
	}
	silent(t, []*listener{canary}, turning)
}

// A receiver that may be reached can't send us on.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	birds := canaries(t)
	client := testClient(t, Config{Policy: onlyAllowed(), Resolver: resolver(t, hostileNames())})
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:" + birds[0].port() + "/", "//[::1]:" + birds[1].port() + "/",
			"http://four.hostile.example:" + birds[0].port() + "/", "/again"} {
			receiver := listen(t, allowed+":0", respond(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nRefresh: 0;url=%s\r\nContent-Length: 0\r\n\r\n", status, to, to)))
			a := client.Send(t.Context(), delivery("http://good.hostile.example:"+receiver.port()))
			if a.Code != Redirect || a.StatusCode != status || a.Response.Get("Location") != to || receiver.accepted.Load() != 1 {
				t.Errorf("%d to %s: got %q, %d, %s", status, to, a.Code, a.StatusCode, a.Detail)
			}
			silent(t, birds, to)
		}
	}
}

// throughProxies names the receiver for a process of its own, as the environment's proxies are read once in a process.
const throughProxies = "WEBHOOK_TEST_RECEIVER"

// A proxy of the environment would resolve names itself, and reach whatever it likes.
func TestTheEnvironmentsProxiesAreNotUsed(t *testing.T) {
	t.Parallel()
	receiver := listen(t, allowed+":0", respond("HTTP/1.1 204 No Content\r\n\r\n"))
	proxy := listen(t, "127.0.0.1:0", respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), throughProxies+"="+receiver.Addr().String())
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		cmd.Env = append(cmd.Env, name+"=http://"+proxy.Addr().String())
	}
	cmd.Env = append(cmd.Env, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if receiver.accepted.Load() != 2 || proxy.accepted.Load() != 0 {
		t.Errorf("the receiver was reached %d times, the proxy %d", receiver.accepted.Load(), proxy.accepted.Load())
	}
}

// sendPastProxies is what that process does: one request by http, and one by https that ends in the handshake.
func sendPastProxies(receiver string) int {
	_, port, _ := net.SplitHostPort(receiver)
	// A name, as proxies are never used for loopback addresses.
	here := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerOnce(server)
		return client, nil
	}}
	client := NewClient(Config{Policy: onlyAllowed(), Resolver: here, Timeout: 5 * time.Second})
	defer client.Close()
	for scheme, want := range map[string]string{"http": "", "https": TLS} {
		if a := client.Send(context.Background(), delivery(scheme+"://receiver.example.com:"+port)); a.Code != want {
			fmt.Printf("%s: %s: %s", scheme, a.Code, a.Detail)
			return 1
		}
	}
	return 0
}

// answerOnce says that every name is at the allowed address. A pipe is a stream, where messages have their length before them.
func answerOnce(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil || n < 2 {
		return
	}
	z := &zone{names: map[string][][]dnsmessage.ResourceBody{"receiver.example.com.": {records(allowed)}}, asked: map[string]int{}}
	if reply := z.reply(buffer[2:n]); reply != nil {
		_, _ = conn.Write(append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...))
	}
}

// A name with many addresses, all of them other people's, has us knock at a few for one delivery. A resolver puts them in
// an order of its own, so it is the number that counts.
func TestFewOfManyAddressesAreTried(t *testing.T) {
	t.Parallel()
	free := listen(t, "127.0.7.1:0", func(net.Conn) {})
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("127.0.8.%d", i+1)) // nobody listens there
	}
	client := testClient(t, Config{Policy: Policy{AllowHTTP: true, Networks: loopback},
		Resolver: resolver(t, map[string][][]dnsmessage.ResourceBody{"many.hostile.example.": {records(many...)}})})
	d := newDialer(client.config, t.Context())
	knocks, inner := 0, d.net.ControlContext
	d.net.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		err := inner(ctx, network, address, c)
		if err == nil {
			knocks++ // one after the other, as all are IPv4
		}
		return err
	}
	for range 2 {
		knocks = 0
		if _, err := d.plain(t.Context(), "tcp", "many.hostile.example:"+free.port()); err == nil || codeOf(err) != Connect {
			t.Errorf("got %v", err)
		}
		if knocks < 2 || knocks > maxTries {
			t.Errorf("%d addresses were tried", knocks)
		}
	}
}

func codeOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return ""
}
