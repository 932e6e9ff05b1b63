package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
)

// Limits of the inbox. Its client is the owner's mail server, but what that passes on is anybody's.
const (
	// maxInboxMessage is more than any mail that we send, as servers return whole messages. Only its first
	// megabyte is looked at, and nothing of it is kept.
	maxInboxMessage = 64 << 20
	// maxInboxLine is what servers that return a message as it was may need; RFC 5321 allows 1000.
	maxInboxLine       = 256 << 10
	maxInboxRecipients = 100
	inboxConnections   = 50
	inboxPatience      = 2 * time.Minute  // for a command, and for a whole message
	inboxLifetime      = 10 * time.Minute // of a connection
	inboxGrace         = 20 * time.Second
	takePatience       = 30 * time.Second
)

// Reports is who understands what comes back.
type Reports interface {
	// Expects says whether reports may come to an address. An error says that this can't be told now.
	Expects(ctx context.Context, address string) (bool, error)
	// Take acts on a report that came to an address, and returns nil when what it means is committed. The same
	// report may come again, at the same time as well.
	Take(ctx context.Context, address string, r Report) error
}

// InboxConfig says where the inbox listens, and to whom it hands over.
type InboxConfig struct {
	Listen  string         // host:port
	Allow   []netip.Prefix // who may come, besides this machine
	Reports Reports
	Log     *slog.Logger
	// What follows has a default where it is 0.
	Connections        int   // at a time
	MaxMessage         int64 // in bytes
	Patience, Lifetime time.Duration
	Grace              time.Duration // for messages under way when the inbox is told to stop
}

// An Inbox is a server of LMTP (RFC 2033), to which the owner's mail server delivers what comes to the address for
// reports. Each recipient is answered by itself: 250 when what the report means is committed, or means nothing; 451
// when that can't be had now, so that the server keeps it and comes again; 550 before the message for an address
// that is none of ours. There is no login in LMTP, so it should listen where only the mail server comes.
type Inbox struct {
	InboxConfig
}

// NewInbox makes an inbox, which listens when it is run.
func NewInbox(c InboxConfig) *Inbox {
	if c.Connections == 0 {
		c.Connections = inboxConnections
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = maxInboxMessage
	}
	if c.Patience == 0 {
		c.Patience = inboxPatience
	}
	if c.Lifetime == 0 {
		c.Lifetime = inboxLifetime
	}
	if c.Grace == 0 {
		c.Grace = inboxGrace
	}
	return &Inbox{InboxConfig: c}
}

// standBy is how often a process looks whether the address is free that another one has.
const standBy = 2 * time.Second

// Run listens and serves until ctx ends. Where another process has the address already, it stands by: of several
// workers on one machine one takes the reports, and another when that one is gone.
func (in *Inbox) Run(ctx context.Context) error {
	for waited := false; ; {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", in.Listen)
		switch {
		case err == nil:
			return in.Serve(ctx, l)
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("listen for mail reports on %s (LMTP_LISTEN): %w", in.Listen, err)
		case !waited:
			waited = true
			in.Log.Warn("another process has the address for mail reports; this one stands by", "listen", in.Listen)
		}
		t := time.NewTimer(standBy)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// Serve takes connections from l until ctx ends. Then it lets messages under way be answered, within the grace, and
// returns when nothing of it runs any more.
func (in *Inbox) Serve(ctx context.Context, l net.Listener) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	door := &door{Listener: l, allow: in.Allow, most: in.Connections, lifetime: in.Lifetime, open: make(map[*visitor]struct{})}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &delivery{inbox: in, ctx: work, from: c.Conn().(*visitor)}, nil
	}))
	server.LMTP = true
	server.Domain = "localhost"
	server.MaxMessageBytes = in.MaxMessage
	server.MaxLineLength = maxInboxLine
	server.MaxRecipients = maxInboxRecipients
	server.EnableSMTPUTF8 = true // reports may quote such addresses; ours are ASCII
	server.ReadTimeout, server.WriteTimeout = in.Patience, in.Patience
	server.ErrorLog = slog.NewLogLogger(in.Log.Handler(), slog.LevelDebug)
	served := make(chan error, 1)
	go func() { served <- server.Serve(door) }()
	in.Log.Info("mail reports are taken", "listen", l.Addr().String())

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		_ = l.Close()
		<-served
	}
	door.closeIdle()
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		_ = server.Shutdown(work) // waits for those who are inside
	}()
	grace := time.NewTimer(in.Grace)
	defer grace.Stop()
	select {
	case <-quiet:
	case <-grace.C:
		stopWork()
		door.closeAll()
		<-quiet
	}
	if err != nil {
		return fmt.Errorf("take mail reports: %w", err)
	}
	return nil
}
