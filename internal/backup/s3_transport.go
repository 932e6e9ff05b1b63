package backup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// transport speaks to a server that is given up when it is silent for too long, wherever in a request that is.
func transport(roots *x509.CertPool, patience time.Duration) *http.Transport {
	dialer := net.Dialer{Timeout: patience, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &impatient{conn, patience}, nil
		},
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: patience,
		MaxIdleConns:        4,
		IdleConnTimeout:     min(patience, 30*time.Second),
		DisableCompression:  true, // files come as they were stored
	}
}

// An impatient connection breaks when nothing moves for a while, in either direction.
type impatient struct {
	net.Conn
	patience time.Duration
}

// Read implements net.Conn.
func (c *impatient) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn. It moves the end of a Read as well, which waits for the answer all the while.
func (c *impatient) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
