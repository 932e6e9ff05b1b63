package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Config says which server takes the mail, and how it is treated. From Connections on, zero means the usual.
type Config struct {
	Host string
	Port int
	// ImplicitTLS begins with TLS (port 465); else STARTTLS is required, except of a server on this machine.
	ImplicitTLS bool
	// AllowPlaintext sends mail and password unencrypted where the server offers no STARTTLS.
	AllowPlaintext bool
	// User is who logs in; "" is nobody.
	User, Password string
	// Hello is the name of this machine, as EHLO gives it; the server may look it up.
	Hello string
	// ServerName is what the server's certificate has to be for, where that is not Host.
	ServerName string
	// RootCAs are trusted instead of the system's; nil trusts those.
	RootCAs *x509.CertPool

	// Connections is how many there are at most (4). Beyond four to eight, a server gains little.
	Connections int
	// Rate is how many mails go out in a second at most; 0 is as many as the server takes.
	Rate float64
	// ConnectTimeout bounds the TCP connect (10 s), CommandTimeout each command and each write (60 s), and
	// SubmissionTimeout the answer to the end of a mail (5 min): long, as giving up there leaves the mail unknown, and
	// servers look through its content in that time (RFC 5321, section 4.5.3.2.6, wants ten minutes).
	ConnectTimeout, CommandTimeout, SubmissionTimeout time.Duration
	// IdleTimeout closes unused connections (8 s): Postfix does after 10 s when it is busy.
	IdleTimeout time.Duration
	// MailsPerConnection is after how many one is closed (100), so that a balanced server gets its share.
	MailsPerConnection int
	// StopGrace is how long a mail whose content is under way may take once its context or the pool's has ended
	// (15 s); cut off, it would be unknown.
	StopGrace time.Duration
	// Pause is how long the channel is left alone when it has failed several times (5 s, and longer when it fails
	// again), LoginPause when the server refused our login or we its certificate (5 min): servers lock out
	// addresses from which wrong passwords keep coming.
	Pause, LoginPause time.Duration
	// Log hears when the channel fails and when it is well again; nil is nobody.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.Hello, "localhost")
	setDefault(&c.Connections, 4)
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.CommandTimeout, time.Minute)
	setDefault(&c.SubmissionTimeout, 5*time.Minute)
	setDefault(&c.IdleTimeout, 8*time.Second)
	setDefault(&c.MailsPerConnection, 100)
	setDefault(&c.StopGrace, 15*time.Second)
	setDefault(&c.Pause, 5*time.Second)
	setDefault(&c.LoginPause, 5*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) check() error {
	switch {
	case c.Host == "":
		return errors.New("no server is named")
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("there is no port %d", c.Port)
	case (c.User == "") != (c.Password == ""):
		return errors.New("a user needs a password, and a password a user")
	case c.Connections < 0 || c.Rate < 0:
		return errors.New("neither connections nor rate can be below zero")
	}
	return nil
}

// Pool submits mail to one server over a few connections, which are kept for the next mail: a new one takes
// ten times as long as a mail. It leaves the server alone while it is ill. Safe for concurrent use.
type Pool struct {
	dialer  *dialer
	breaker *breaker
	pace    *pacer
	queue   queue
	log     *slog.Logger

	// first lets one connection be made at a time until one has been: a wrong password should be tried once.
	first  chan struct{}
	proven chan struct{} // closed when one has been made
	prove  sync.Once

	mu      sync.Mutex
	stopped bool
	hands   map[*hand]struct{}
	running sync.WaitGroup
}

// hand is one mail under way.
type hand struct{ stop context.CancelCauseFunc }

// New makes a pool, which connects when the first mail comes. Run has to run beside it.
func New(c Config) (*Pool, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	c = c.withDefaults()
	return &Pool{
		dialer: newDialer(c), breaker: newBreaker(c.Pause, c.LoginPause), pace: &pacer{rate: c.Rate},
		queue: queue{free: c.Connections, size: c.Connections, patience: c.IdleTimeout}, log: c.Log,
		first: make(chan struct{}, 1), proven: make(chan struct{}), hands: make(map[*hand]struct{}),
	}, nil
}

// quitPatience is how long a server may take to say goodbye.
const quitPatience = 2 * time.Second

// Run closes connections that nobody uses until ctx ends. Then it takes no more mail, calls off what has not come
// to its content, waits for what has, and takes leave of the server; nothing is open when it returns.
func (p *Pool) Run(ctx context.Context) error {
	tick := time.NewTicker(max(p.dialer.IdleTimeout/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.stop()
			return nil
		case <-tick.C:
			for _, c := range p.queue.expired() {
				c.quit(quitPatience)
				p.queue.give(c)
			}
		}
	}
}

var errStopped = errors.New("this process sends no more mail, as it is being stopped")

func (p *Pool) stop() {
	p.mu.Lock()
	p.stopped = true
	for h := range p.hands {
		h.stop(errStopped)
	}
	p.mu.Unlock()
	p.running.Wait()
	var leaving sync.WaitGroup
	for _, c := range p.queue.all() {
		leaving.Go(func() { c.quit(quitPatience) })
	}
	leaving.Wait()
}

// enter notes a mail, so that a stop calls it off and waits for it.
func (p *Pool) enter(ctx context.Context) (context.Context, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, nil, &Refusal{Class: Channel, Step: StepConnect, Cause: errStopped}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h := &hand{stop: cancel}
	p.hands[h] = struct{}{}
	p.running.Add(1)
	return ctx, func() {
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.hands, h)
		p.running.Done()
	}, nil
}

// Check connects and logs in as for a mail, and sends none. Its error is a *Refusal. It doesn't ask the breaker.
func (p *Pool) Check(ctx context.Context) error {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	c, err := p.dialer.connect(ctx)
	if err != nil {
		return err
	}
	c.quit(quitPatience)
	return nil
}

// Status is how the channel is, for people. It has no secrets and no addresses of recipients.
type Status struct {
	// State is "closed" while mail goes through, "open" while the server is left alone, "half_open" while one mail
	// tries whether it is well again.
	State string
	// Until is when it is tried again, while open.
	Until time.Time
	// LastFault is why it failed last, also after it is well again, and LastFaultAt when; "" if it never did.
	LastFault   string
	LastFaultAt time.Time
	// Busy and Idle count connections, Waiting the mails for which there was none.
	Busy, Idle, Waiting int
}

// Status gives the state of this moment.
func (p *Pool) Status() Status {
	s := p.breaker.status()
	s.Busy, s.Idle, s.Waiting = p.queue.count()
	return s
}

// note tells of a change of the breaker, and sends away those who wait for a connection.
func (p *Pool) note(change change) {
	switch change {
	case opened:
		s := p.breaker.status()
		p.log.Error("mail waits, the mail server can't be used", "cause", s.LastFault, "until", s.Until)
		p.queue.refuse(p.breaker.refusal())
	case recovered:
		p.pace.ramp()
		p.log.Info("mail server is well again")
	}
}
