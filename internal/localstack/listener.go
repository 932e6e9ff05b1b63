package localstack

import (
	"net"
	"sync"
)

// openListener knows its open connections. Clients of a mail server keep idle
// ones, and a shutdown that waits for them would take minutes.
type openListener struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
}

func (l *openListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.open[conn] = struct{}{}
	return &openConn{Conn: conn, listener: l}, nil
}

// closeAll takes no further connection and ends those that there are.
func (l *openListener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.Listener.Close()
	for conn := range l.open {
		conn.Close()
	}
}

type openConn struct {
	net.Conn
	listener *openListener
}

func (c *openConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
