package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// progress is how far a request has come.
type progress struct {
	mu        sync.Mutex
	connected string
	reused    bool // the connection had been idle
	written   bool
	answered  bool // something came back
}

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.connected, p.reused = i.Conn.RemoteAddr().String(), i.Reused
		},
		GotFirstResponseByte: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.answered = true
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.written = i.Err == nil
		},
	})
}

func (p *progress) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected
}

// staleConnection reports whether the request went over a connection that had been idle, and nothing came back.
func (p *progress) staleConnection() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused && !p.answered
}

func (p *progress) step() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.connected == "":
		return "no connection"
	case !p.written:
		return "the request wasn't taken"
	}
	return "no answer"
}

const closedEarly = "the connection was closed before there was an answer"

// explain says what kept a request from being answered, without what a stranger must not know of this machine, such as the
// addresses of its name servers or of what is inside.
func (c *Client) explain(ctx, limited context.Context, err error, seen *progress) (code, detail string) {
	if failed := (*failure)(nil); errors.As(err, &failed) && ctx.Err() == nil && c.open.Err() == nil {
		return failed.code, failed.detail()
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled) || c.open.Err() != nil:
		return Cancelled, "it was called off"
	case limited.Err() != nil:
		return Timeout, fmt.Sprintf("%s within %s", seen.step(), c.config.Timeout)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return Protocol, closedEarly
	}
	// The rest has no types.
	why := err.Error()
	switch {
	case strings.Contains(why, "server closed idle connection"):
		return Protocol, closedEarly
	case strings.Contains(why, "readLoopPeekFailLocked"):
		return Protocol, "it answered before it was asked"
	case strings.Contains(why, "server response headers exceeded"):
		return Protocol, fmt.Sprintf("the head of its answer is longer than %d KiB", maxHead>>10)
	}
	for _, noise := range []string{"net/http: ", "HTTP/1.x transport connection broken: ", "net/http: "} {
		why = strings.TrimPrefix(why, noise)
	}
	return Protocol, "it answered otherwise than HTTP/1.1 does: " + why
}

// codeOfDial tells the steps of a connection apart.
func codeOfDial(err error) string {
	var unresolved *net.DNSError
	switch {
	case errors.Is(err, errNotPublic) || errors.Is(err, errPort):
		return RefusedAddress
	case errors.As(err, &unresolved):
		return DNS
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) || isTimeout(err):
		return Timeout
	}
	return Connect
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (f *failure) detail() string {
	switch f.code {
	case RefusedAddress:
		if errors.Is(f.err, errPort) {
			return errPort.Error()
		}
		return errNotPublic.Error()
	case DNS:
		return dnsDetail(f.err)
	case Timeout:
		return fmt.Sprintf("no connection within %s", connectTime.Round(time.Second))
	case TLS:
		return tlsDetail(f.err)
	}
	if errno := syscall.Errno(0); errors.As(f.err, &errno) {
		return errno.Error()
	}
	return "no connection came about"
}

func dnsDetail(err error) string {
	var unresolved *net.DNSError
	switch errors.As(err, &unresolved); {
	case unresolved.IsNotFound:
		return "the host has no address"
	case unresolved.IsTimeout:
		return "the host's name servers didn't answer in time"
	}
	return "the host's name couldn't be looked up"
}

func tlsDetail(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return "the connection was closed in the handshake"
	}
	why := err.Error()
	for _, noise := range []string{"tls: failed to verify certificate: ", "x509: ", "remote error: ", "tls: "} {
		why = strings.TrimPrefix(why, noise)
	}
	return why
}
