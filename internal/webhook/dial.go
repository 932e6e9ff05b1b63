package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// dialer makes connections that the policy allows, and says which step failed.
type dialer struct {
	net  net.Dialer
	tls  *tls.Config
	open context.Context
}

func newDialer(c Config, open context.Context) *dialer {
	return &dialer{tls: tlsConfig(c.Roots), open: open, net: net.Dialer{
		Resolver: c.Resolver,
		// Called for each address that a connection is about to be made to, after all resolving: there is no moment
		// between check and use, whatever a name says the next time.
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			end, err := netip.ParseAddrPort(address)
			if err != nil {
				return errNotPublic
			}
			if err := c.Policy.CheckAddr(end); err != nil {
				return err
			}
			return triesOf(ctx).another(end.Addr())
		},
	}}
}

// maxTries bounds how many of a host's addresses of a family are knocked at for one delivery. A name may have hundreds, all
// of them other people's; where one family is broken, the other has its own.
const maxTries = 6

var errTries = errors.New("enough of the host's addresses were tried")

// tries are the addresses of a host that were knocked at. Both families may be at the same time.
type tries struct{ four, six atomic.Int32 }

type triesKey struct{}

func triesOf(ctx context.Context) *tries {
	t, ok := ctx.Value(triesKey{}).(*tries)
	if !ok {
		return &tries{}
	}
	return t
}

func (t *tries) another(addr netip.Addr) error {
	family := &t.six
	if addr.Unmap().Is4() {
		family = &t.four
	}
	if family.Add(1) > maxTries {
		return errTries
	}
	return nil
}

// failure is an error of a step of making a connection.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.code + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// plain connects. The transport goes on with it where a request has ended meanwhile, so it has a bound of its own, and
// ends with the client.
func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	return d.connect(ctx, network, address)
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.net.DialContext(context.WithValue(ctx, triesKey{}, &tries{}), network, address)
	if err != nil {
		return nil, &failure{code: codeOfDial(err), err: err}
	}
	return conn, nil
}

// encrypted connects, and has the receiver prove that it is the URL's host.
func (d *dialer) encrypted(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		_ = conn.Close()
		return nil, &failure{code: TLS, err: err}
	}
	config := d.tls.Clone()
	config.ServerName = host
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, &failure{code: Timeout, err: ctx.Err()}
		}
		return nil, &failure{code: TLS, err: err}
	}
	return encrypted, nil
}

func (d *dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	stop := context.AfterFunc(d.open, cancel)
	return ctx, func() { stop(); cancel() }
}
