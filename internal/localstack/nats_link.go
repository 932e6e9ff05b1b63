package localstack

import (
	"errors"
	"io"
	"net"
	"sync"
)

// A link is the way from one server to another, which a test may cut: then nothing passes, and neither
// side is told.
type link struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	changed *sync.Cond
	cut     bool
	closed  bool
	ends    map[net.Conn]bool
	done    sync.WaitGroup
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return nil, err
	}
	k := &link{listener: l, to: to, ends: make(map[net.Conn]bool)}
	k.changed = sync.NewCond(&k.mu)
	k.done.Go(k.accept)
	return k, nil
}

func (k *link) address() string { return k.listener.Addr().String() }

// set cuts the link, or mends it: what was sent meanwhile arrives late.
func (k *link) set(cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = cut
	k.changed.Broadcast()
}

func (k *link) close() error {
	err := k.listener.Close()
	k.mu.Lock()
	k.closed = true
	for conn := range k.ends {
		err = errors.Join(err, conn.Close())
	}
	clear(k.ends)
	k.changed.Broadcast()
	k.mu.Unlock()
	k.done.Wait()
	return err
}

func (k *link) accept() {
	for {
		near, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.done.Go(func() { k.connect(near) })
	}
}

func (k *link) connect(near net.Conn) {
	if !k.passes() {
		_ = near.Close()
		return
	}
	far, err := net.Dial("tcp", k.to)
	if err != nil {
		_ = near.Close()
		return
	}
	if !k.keep(near, far) {
		return
	}
	k.done.Go(func() { k.pump(near, far) })
	k.pump(far, near)
}

// keep notes connections that are to be closed with the link; those that come too late are closed at once.
func (k *link) keep(conns ...net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, conn := range conns {
		if k.closed {
			_ = conn.Close()
		} else {
			k.ends[conn] = true
		}
	}
	return !k.closed
}

// passes waits until the link is whole; it is false when the link was closed.
func (k *link) passes() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.cut && !k.closed {
		k.changed.Wait()
	}
	return !k.closed
}

// pump copies until one side ends, and then ends both.
func (k *link) pump(from, to net.Conn) {
	_, _ = io.Copy(passing{to, k}, from)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, conn := range []net.Conn{from, to} {
		if k.ends[conn] {
			_ = conn.Close()
			delete(k.ends, conn)
		}
	}
}

// passing writes while the link is whole.
type passing struct {
	io.Writer
	link *link
}

// Write implements io.Writer.
func (p passing) Write(b []byte) (int, error) {
	if !p.link.passes() {
		return 0, net.ErrClosed
	}
	return p.Writer.Write(b)
}
