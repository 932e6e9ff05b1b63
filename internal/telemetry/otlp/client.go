package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// client posts spans. It implements otlptrace.Client.
type client struct {
	url     string
	headers map[string]string
	timeout time.Duration
	http    *http.Client
	pause   time.Duration // before the second try
}

func newClient(o Options) *client {
	return &client{url: o.URL, headers: o.Headers, timeout: o.timeout(), pause: time.Second, http: &http.Client{
		Transport: &http.Transport{
			Proxy:               o.Proxy,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConns:        2,
			IdleConnTimeout:     time.Minute,
		},
		// A redirected POST would carry the headers, and a key among them, to someone else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// errBusy is the answer of a collector that wants to be asked again (OTLP, "Retryable Response Codes").
var errBusy = errors.New("the collector is busy")

// UploadTraces implements otlptrace.Client. A busy collector is asked once more; spans are not worth more.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := encode(spans)
	if err != nil {
		return err
	}
	err = c.post(ctx, body)
	if !errors.Is(err, errBusy) {
		return err
	}
	again := time.NewTimer(c.pause)
	defer again.Stop()
	select {
	case <-again.C:
		return c.post(ctx, body)
	case <-ctx.Done():
		return err
	}
}

// encode writes an ExportTraceServiceRequest. TracesData has the same fields, and comes without gRPC.
func encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("pack spans: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack spans: %w", err)
	}
	return packed.Bytes(), nil
}

func (c *client) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("OTEL_EXPORTER_OTLP_ENDPOINT is no URL")
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", "payaid")
	res, err := c.http.Do(req)
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		return bad.Err // without the URL, which may hold a password
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("%w: it answered %d", errBusy, res.StatusCode)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %d", res.StatusCode)
	}
	return nil
}
