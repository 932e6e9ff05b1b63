package faults

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Wire stands in front of any server that speaks over TCP, sees what passes, and can cut it off.
type Wire struct {
	listener net.Listener
	upstream string
	wg       sync.WaitGroup

	mu   sync.Mutex
	look Look
	open map[net.Conn]struct{}
	done bool
}

// A Chunk is what came over a wire at once.
type Chunk struct {
	Conn     int // counts the connections
	ToServer bool
	Data     []byte
}

// A Look sees each chunk before it is passed on, may keep it as long as it likes, and gives what is passed on. The
// connection is cut after that if it says so.
type Look func(Chunk) (pass []byte, cut bool)

// NewWire starts a wire to an address, which ends with the test. look may be nil.
func NewWire(t testing.TB, upstream string, look Look) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{listener: l, upstream: upstream, look: look, open: make(map[net.Conn]struct{})}
	w.wg.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

// Addr is the host and port in front of the server.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

// Watch has another look from now on; nil: all passes.
func (w *Wire) Watch(look Look) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look = look
}

func (w *Wire) close() {
	w.listener.Close()
	w.mu.Lock()
	w.done = true
	for c := range w.open {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *Wire) accept() {
	for n := 1; ; n++ {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() { w.serve(n, client) })
	}
}

// serve passes both directions on until one ends.
func (w *Wire) serve(n int, client net.Conn) {
	server, err := net.Dial("tcp", w.upstream)
	if err != nil {
		client.Close()
		return
	}
	if !w.keep(client, server) {
		return
	}
	defer w.drop(client, server)
	ended := make(chan struct{}, 2)
	for _, way := range []struct {
		from, to net.Conn
		toServer bool
	}{{client, server, true}, {server, client, false}} {
		w.wg.Go(func() {
			w.copy(n, way.from, way.to, way.toServer)
			ended <- struct{}{}
		})
	}
	<-ended
}

func (w *Wire) copy(n int, from io.Reader, to io.Writer, toServer bool) {
	buffer := make([]byte, 64<<10)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		look := w.look
		w.mu.Unlock()
		pass, cut := buffer[:size], false
		if look != nil {
			pass, cut = look(Chunk{Conn: n, ToServer: toServer, Data: pass})
		}
		if _, err := to.Write(pass); err != nil || cut {
			return
		}
	}
}

func (w *Wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.done {
			c.Close()
		}
		w.open[c] = struct{}{}
	}
	return !w.done
}

func (w *Wire) drop(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(w.open, c)
	}
}
