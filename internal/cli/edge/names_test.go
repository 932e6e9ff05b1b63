package edge

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// names is a DNS server that knows one thing: where api.test is.
type names struct {
	address string
	mu      sync.Mutex
	known   []netip.Addr
}

func newNames(t *testing.T, known ...string) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: conn.LocalAddr().String()}
	n.set(known...)
	var served sync.WaitGroup
	served.Go(func() { n.serve(conn) })
	t.Cleanup(func() {
		_ = conn.Close()
		served.Wait()
	})
	return n
}

// set says where the processes of the API are from now on.
func (n *names) set(known ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = nil
	for _, one := range known {
		n.known = append(n.known, netip.MustParseAddr(one))
	}
}

func (n *names) serve(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		if answer := n.answer(buf[:size]); answer != nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// answer is for a question with one name (RFC 1035, section 4).
func (n *names) answer(question []byte) []byte {
	end := 12
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	if end += 5; end > len(question) {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.known
	if question[end-3] != 1 { // another type than A
		known = nil
	}
	failure := byte(0)
	if len(n.known) == 0 {
		failure = 3 // there is no such name
	}
	out := []byte{question[0], question[1], 0x81, 0x80 | failure, 0, 1, 0, byte(len(known)), 0, 0, 0, 0}
	out = append(out, question[12:end]...)
	for _, ip := range known {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		out = append(out, ip.AsSlice()...)
	}
	return out
}
