package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// conn is one connection that is ready for mail: greeted, encrypted where it has to be, and logged in. One
// goroutine uses it at a time.
type conn struct {
	socket        *socket
	client        *smtp.Client
	authenticated bool
	dsn           bool
	limit         int // the server's, in bytes; 0 is none

	mails    int // tried on it
	refused  int // of the last ones, in a row
	idle     time.Time
	unusable bool
}

// dialer makes connections as the settings want them.
type dialer struct {
	Config
	tls *tls.Config
}

func newDialer(c Config) *dialer {
	name := c.ServerName
	if name == "" {
		name = c.Host
	}
	// Resumed sessions spare most of the time that a new connection takes.
	return &dialer{Config: c, tls: &tls.Config{ServerName: name, RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(c.Connections)}}
}

// connect makes a connection that is ready for mail; its errors are refusals of the class Channel.
func (d *dialer) connect(ctx context.Context) (*conn, error) {
	c, err := d.open(ctx)
	if err != nil {
		var r *Refusal
		errors.As(err, &r)
		if ctx.Err() != nil {
			r.Cause = context.Cause(ctx) // rather than that the connection is closed, which it was for that
		}
		return nil, r.hide(d.secrets())
	}
	return c, nil
}

func (d *dialer) open(ctx context.Context) (*conn, error) {
	c, err := d.greet(ctx, d.ImplicitTLS)
	var r *Refusal
	if errors.As(err, &r) && errors.Is(r.Cause, errNoTLS) && r.Step == StepTLS {
		// Where it needn't be encrypted, go-smtp wants a new connection: it can't go on with this one.
		c, err = d.greetPlain(ctx)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.socket.Close() })
	defer stop()
	if err := d.prepare(c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

var (
	errNoTLS      = errors.New("the server doesn't offer STARTTLS")
	errPlaintext  = errors.New("the server doesn't offer STARTTLS, and without it mail and password would be for all to read")
	errNoLogin    = errors.New("the server offers no login (AUTH)")
	errMechanisms = errors.New("the server offers no way to log in that we know (PLAIN, LOGIN)")
)

// dial opens the TCP connection.
func (d *dialer) dial(ctx context.Context) (*socket, error) {
	netDialer := net.Dialer{Timeout: d.ConnectTimeout}
	raw, err := netDialer.DialContext(ctx, "tcp", net.JoinHostPort(d.Host, strconv.Itoa(d.Port)))
	if err != nil {
		return nil, classify(StepConnect, err, false)
	}
	return &socket{Conn: raw, patience: max(d.CommandTimeout, d.SubmissionTimeout)}, nil
}

// greet connects, encrypts and greets. go-smtp believes in a handshake that hasn't been made until the first
// command after it, so that the greeting belongs to it.
func (d *dialer) greet(ctx context.Context, implicit bool) (*conn, error) {
	s, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.patience = d.CommandTimeout
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	client, err := d.encrypt(ctx, s, implicit)
	if err != nil {
		s.Close()
		return nil, d.tlsRefusal(s, err)
	}
	return d.hello(s, client, StepTLS)
}

func (d *dialer) encrypt(ctx context.Context, s *socket, implicit bool) (*smtp.Client, error) {
	if !implicit {
		return smtp.NewClientStartTLS(s, d.tls)
	}
	handshake, cancel := context.WithTimeout(ctx, d.CommandTimeout)
	defer cancel()
	over := tls.Client(s, d.tls)
	if err := over.HandshakeContext(handshake); err != nil {
		return nil, err
	}
	return smtp.NewClient(over), nil
}

// tlsRefusal tells a server without STARTTLS from others. go-smtp has no name for that error.
func (d *dialer) tlsRefusal(s *socket, err error) error {
	if !strings.Contains(err.Error(), "doesn't support STARTTLS") {
		step := StepTLS
		if !d.ImplicitTLS {
			step = StepConnect // the greeting, or the answer to STARTTLS
		}
		return classify(step, err, false)
	}
	if d.plaintextTo(s) {
		return classify(StepTLS, errNoTLS, false)
	}
	return classify(StepTLS, errPlaintext, false)
}

// plaintextTo says whether nobody is expected to listen between us and this peer.
func (d *dialer) plaintextTo(s *socket) bool {
	peer, ok := s.RemoteAddr().(*net.TCPAddr)
	return d.AllowPlaintext || ok && peer.IP.IsLoopback()
}

// greetPlain is for a server of which we know that it has no STARTTLS and needs none.
func (d *dialer) greetPlain(ctx context.Context) (*conn, error) {
	s, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.patience = d.CommandTimeout
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if !d.plaintextTo(s) { // a name may have several addresses
		s.Close()
		return nil, classify(StepTLS, errPlaintext, false)
	}
	return d.hello(s, smtp.NewClient(s), StepHello)
}

// hello says who we are; the handshake of TLS happens here at the latest, and is named as the step where it fails.
func (d *dialer) hello(s *socket, client *smtp.Client, step string) (*conn, error) {
	client.CommandTimeout, client.SubmissionTimeout = d.CommandTimeout, d.SubmissionTimeout
	err := client.Hello(d.Hello)
	state, encrypted := client.TLSConnectionState()
	if err == nil && encrypted && !state.HandshakeComplete {
		err = errors.New("no handshake was made")
	}
	if err != nil {
		s.Close()
		if encrypted && state.HandshakeComplete {
			step = StepHello
		}
		return nil, classify(step, err, false)
	}
	s.patience = max(d.CommandTimeout, d.SubmissionTimeout)
	c := &conn{socket: s, client: client}
	c.dsn, _ = client.Extension("DSN")
	c.limit, _ = client.MaxMessageSize()
	return c, nil
}

// prepare logs in, where there is somebody to log in as.
func (d *dialer) prepare(c *conn) error {
	if d.User == "" {
		return nil
	}
	if _, encrypted := c.client.TLSConnectionState(); !encrypted && !d.plaintextTo(c.socket) {
		return classify(StepAuth, errPlaintext, false)
	}
	offered, mechanisms := c.client.Extension("AUTH")
	if !offered {
		return classify(StepAuth, errNoLogin, false)
	}
	var with sasl.Client
	switch {
	case c.client.SupportsAuth(sasl.Plain):
		with = sasl.NewPlainClient("", d.User, d.Password)
	case c.client.SupportsAuth(sasl.Login):
		with = &login{user: d.User, password: d.Password}
	default:
		return classify(StepAuth, fmt.Errorf("%w, but %s", errMechanisms, printable(mechanisms)), false)
	}
	if err := c.client.Auth(with); err != nil {
		return classify(StepAuth, err, false)
	}
	c.authenticated = true
	return nil
}

// secrets are what no reply may show again.
func (d *dialer) secrets() []string {
	if d.Password == "" {
		return nil
	}
	in64 := base64.StdEncoding.EncodeToString
	return []string{in64([]byte("\x00" + d.User + "\x00" + d.Password)), in64([]byte(d.Password)), d.Password}
}

// login is the mechanism LOGIN as servers have it. go-sasl's names the user before it is asked, and takes one
// wording of the question only.
type login struct {
	user, password string
	asked          int
}

// Start implements sasl.Client.
func (l *login) Start() (mechanism string, first []byte, err error) { return sasl.Login, nil, nil }

// Next implements sasl.Client: the first question is for the user, the second for the password.
func (l *login) Next([]byte) ([]byte, error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, errors.New("it asks a third question")
}

// close ends the connection without a word. After a doubt that is the only way: to say QUIT or RSET would first
// end the content that go-smtp has open, and the server would take half a mail for a whole one.
func (c *conn) close() {
	c.unusable = true
	c.socket.Close()
	c.client.Close()
}

// quit takes leave of the server, which needs to be in no transaction.
func (c *conn) quit(patience time.Duration) {
	c.client.CommandTimeout = patience
	if !c.unusable {
		_ = c.client.Quit()
	}
	c.close()
}
