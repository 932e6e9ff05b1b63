package webhook

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

// TestMain: whatever receivers do, nothing of a client is left once it is closed.
func TestMain(m *testing.M) {
	if receiver := os.Getenv(throughProxies); receiver != "" {
		os.Exit(sendPastProxies(receiver))
	}
	log.SetOutput(io.Discard) // net/http writes there what receivers say unasked
	goleak.VerifyTestMain(m)
}

// loopback lets tests reach receivers of theirs.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// testClient sends with little patience.
func testClient(t *testing.T, c Config) *Client {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	client := NewClient(c)
	t.Cleanup(client.Close)
	return client
}

// delivery is a request of which the URL alone matters.
func delivery(url string) Request {
	return Request{URL: url, ID: "0197f4a2-0000-7000-8000-000000000001", EventType: "invoice.paid", Secrets: []string{NewSecret()}, Body: []byte(`{"n":1}`)}
}

// listener is a server of raw connections, which are counted.
type listener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *listener) port() string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// listen has serve speak to each connection until the test ends.
func listen(t *testing.T, address string, serve func(net.Conn)) *listener {
	t.Helper()
	inner, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: inner}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			conn, err := inner.Accept()
			if err != nil {
				return
			}
			l.accepted.Add(1)
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = inner.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l
}

// zone answers questions for addresses: what a name has the first time, the second, … and from then on.
type zone struct {
	mu    sync.Mutex
	names map[string][][]dnsmessage.ResourceBody
	asked map[string]int
}

func (z *zone) answer(name string, of dnsmessage.Type) []dnsmessage.ResourceBody {
	z.mu.Lock()
	defer z.mu.Unlock()
	turns := z.names[name]
	if len(turns) == 0 {
		return nil
	}
	// A and AAAA are asked for at the same time, so A alone counts the turns.
	turn := min(z.asked[name], len(turns)-1)
	if of == dnsmessage.TypeA {
		z.asked[name]++
	}
	return slices.DeleteFunc(slices.Clone(turns[turn]), func(b dnsmessage.ResourceBody) bool {
		switch b.(type) {
		case *dnsmessage.AResource:
			return of != dnsmessage.TypeA
		case *dnsmessage.AAAAResource:
			return of != dnsmessage.TypeAAAA
		}
		return false
	})
}

// resolver asks a name server of the test's and nobody else.
func resolver(t *testing.T, names map[string][][]dnsmessage.ResourceBody) *net.Resolver {
	t.Helper()
	z := &zone{names: names, asked: make(map[string]int)}
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := z.reply(buffer[:n]); reply != nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func (z *zone) reply(question []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	name := q.Name
	bodies := z.answer(name.String(), q.Type)
	if len(z.names[name.String()]) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, body := range bodies {
		header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: body})
		if alias, ok := body.(*dnsmessage.CNAMEResource); ok {
			name = alias.CNAME // what follows is of the name that it stands for
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// record is an address of a name, or the name that it stands for.
func record(value string) dnsmessage.ResourceBody {
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil:
		return &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(value)}
	case addr.Is4():
		return &dnsmessage.AResource{A: addr.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: addr.As16()}
}

func records(values ...string) (list []dnsmessage.ResourceBody) {
	for _, v := range values {
		list = append(list, record(v))
	}
	return list
}

// own names a receiver as one of this process's.
func own(l *listener) []netip.AddrPort {
	return []netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()}
}
