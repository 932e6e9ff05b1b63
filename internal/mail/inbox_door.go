package mail

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A door lets so many visitors in at a time, each for so long.
type door struct {
	net.Listener
	allow    []netip.Prefix // besides this machine
	most     int
	lifetime time.Duration

	mu       sync.Mutex
	open     map[*visitor]struct{}
	stopping bool
}

// Accept implements net.Listener. Who comes when there is no place is told so, and who may not come is told nothing.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !d.admits(c.RemoteAddr()) {
			_ = c.Close()
			continue
		}
		if v := d.enter(c); v != nil {
			return v, nil
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte("421 4.3.2 Too many connections, come again later\r\n"))
		_ = c.Close()
	}
}

func (d *door) admits(from net.Addr) bool {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return false
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	return address.IsLoopback() || slices.ContainsFunc(d.allow, func(p netip.Prefix) bool { return p.Contains(address) })
}

func (d *door) enter(c net.Conn) *visitor {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) >= d.most {
		return nil
	}
	v := &visitor{Conn: c, door: d, leaves: time.Now().Add(d.lifetime)}
	d.open[v] = struct{}{}
	return v
}

// closeIdle shows everybody out: who is in the middle of a message when it is answered, the others at once.
func (d *door) closeIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopping = true
	for v := range d.open {
		if !v.busy {
			_ = v.Conn.Close()
		}
	}
}

func (d *door) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for v := range d.open {
		_ = v.Conn.Close()
	}
}

// A visitor is a connection. It has a last moment, however slowly it goes on: a client that trickles commands
// would hold its place for ever.
type visitor struct {
	net.Conn
	door   *door
	leaves time.Time
	busy   bool // with a message; under the door's lock
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	v.door.mu.Lock()
	delete(v.door.open, v)
	v.door.mu.Unlock()
	return v.Conn.Close()
}

// begin and end stand around a message and its answers.
func (v *visitor) begin() { v.mark(true) }

func (v *visitor) end() { v.mark(false) }

func (v *visitor) mark(busy bool) {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	if v.busy && !busy && v.door.stopping {
		_ = v.Conn.Close()
	}
	v.busy = busy
}

// SetReadDeadline implements net.Conn.
func (v *visitor) SetReadDeadline(t time.Time) error { return v.Conn.SetReadDeadline(v.atMost(t)) }

// SetWriteDeadline implements net.Conn.
func (v *visitor) SetWriteDeadline(t time.Time) error { return v.Conn.SetWriteDeadline(v.atMost(t)) }

func (v *visitor) atMost(t time.Time) time.Time {
	if t.IsZero() || t.After(v.leaves) {
		return v.leaves
	}
	return t
}
