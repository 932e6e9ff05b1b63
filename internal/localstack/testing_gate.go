package localstack

import (
	"net"
	"sync"
	"testing"
)

// A Gate stands before a server in a test and breaks the way to it, as networks and dying servers do.
type Gate struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	mode  gateMode
	conns map[net.Conn]struct{}
	moved chan struct{} // closed when the mode changes
}

type gateMode int

const (
	gateOpen gateMode = iota
	gateShut          // connections are cut, and new ones end at once
	gateHung          // connections stay, and nothing goes through
)

// NewGate listens on a free port of its own and lets everything through to target, host:port.
func NewGate(tb testing.TB, target string) *Gate {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	g := &Gate{target: target, listener: listener, conns: make(map[net.Conn]struct{}), moved: make(chan struct{})}
	g.running.Go(g.accept)
	tb.Cleanup(func() {
		listener.Close()
		g.Shut()
		g.running.Wait()
	})
	return g
}

// Addr is where the gate listens.
func (g *Gate) Addr() string { return g.listener.Addr().String() }

// Open lets everything through.
func (g *Gate) Open() { g.set(gateOpen) }

// Hang keeps connections and lets nothing through, as a host does that was frozen.
func (g *Gate) Hang() { g.set(gateHung) }

// Shut cuts all connections, and new ones as they come.
func (g *Gate) Shut() {
	g.set(gateShut)
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		conn.Close()
	}
}

func (g *Gate) set(m gateMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = m
	close(g.moved)
	g.moved = make(chan struct{})
}

// now waits while the gate hangs.
func (g *Gate) now() gateMode {
	for {
		g.mu.Lock()
		mode, moved := g.mode, g.moved
		g.mu.Unlock()
		if mode != gateHung {
			return mode
		}
		<-moved
	}
}

func (g *Gate) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.running.Go(func() { g.pass(client) })
	}
}

func (g *Gate) pass(client net.Conn) {
	defer client.Close()
	if g.now() == gateShut {
		return
	}
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	g.mu.Lock()
	g.conns[client], g.conns[server] = struct{}{}, struct{}{}
	shut := g.mode == gateShut
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, client)
		delete(g.conns, server)
	}()
	if shut {
		return
	}
	g.running.Go(func() { g.copy(server, client) })
	g.copy(client, server)
}

// copy carries what comes from one side to the other, as long as the gate allows.
func (g *Gate) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && g.now() == gateOpen {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
