package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// A notifier tells the service manager how a process does, as sd_notify(3) has it: READY once it works, STOPPING when
// it was told to stop, and WATCHDOG as long as its own loop goes round. A nil one tells nobody.
type notifier struct {
	conn  net.Conn
	every time.Duration // between signs of life, 0: the manager wants none

	mu      sync.Mutex
	ready   bool
	stopped bool
	shown   time.Time // the last sign of life
	unhook  func() bool
}

// serviceManager is whoever NOTIFY_SOCKET names, nil where nothing does. It is told of the end of ctx; close ends it.
func (a *app) serviceManager(ctx context.Context) (*notifier, error) {
	address, ok := a.lookup("NOTIFY_SOCKET")
	if !ok || address == "" {
		return nil, nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", address) // an @ in front is the abstract namespace, to Go too
	if err != nil {
		return nil, fmt.Errorf("reach the service manager at NOTIFY_SOCKET: %w", err)
	}
	n := &notifier{conn: conn, every: a.watchdog() / 4}
	n.unhook = context.AfterFunc(ctx, n.stopping)
	return n, nil
}

// watchdog is how long the manager lets this process be silent, 0 for ever. A value that is not a number, or that is
// meant for another process, asks for nothing.
func (a *app) watchdog() time.Duration {
	if pid, ok := a.lookup("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	value, _ := a.lookup("WATCHDOG_USEC")
	us, err := strconv.ParseInt(value, 10, 64)
	if err != nil || us <= 0 || us > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// alive says that the process works: the first time that it is ready, later that it still goes round. It is called by
// the very loop that would stand still if something hung, never by a clock beside it.
func (n *notifier) alive() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !n.ready && !n.stopped:
		n.ready, n.shown = true, time.Now()
		n.tell("READY=1\nSTATUS=works")
	case n.every > 0 && time.Since(n.shown) >= n.every:
		n.shown = time.Now()
		n.tell("WATCHDOG=1")
	}
}

// stopping says once that the process ends.
func (n *notifier) stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		n.stopped = true
		n.tell("STOPPING=1\nSTATUS=stops")
	}
}

// tell leaves out what a manager that went away does not take: the process is there for its work.
func (n *notifier) tell(state string) {
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = n.conn.Write([]byte(state))
}

// close says that the process ends, unless that was said.
func (n *notifier) close() {
	if n == nil {
		return
	}
	n.unhook()
	n.stopping()
	_ = n.conn.Close()
}

// watchAPI shows life for as long as requests are answered: it sends one, as a client would, each time that a sign is
// due.
func (n *notifier) watchAPI(ctx context.Context, ask func(context.Context) error) {
	if n == nil {
		return
	}
	n.alive()
	if n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, n.every)
		if ask(asking) == nil {
			n.alive()
		}
		cancel()
	}
}
