package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// A hammer sends the same request over one connection again and again. It shares the machine with what
// it measures, so it does as little as it can: the request is bytes made once, and of the answer it
// looks at the status line alone.
type hammer struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	status  int // of the answer that is wanted
}

// A blow is what a hammer sends, and the status of the answer that it wants.
type blow struct {
	method, path, body string
	status             int
}

func newHammer(ctx context.Context, c client, b blow) (*hammer, error) {
	address := strings.TrimPrefix(c.base, "http://")
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", b.method, b.path, address, c.key)
	if b.body != "" {
		request += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(b.body))
	}
	return &hammer{conn: conn, answers: bufio.NewReader(conn), request: []byte(request + "\r\n" + b.body), status: b.status}, nil
}

func (h *hammer) close() { _ = h.conn.Close() }

// strike sends the request and waits for the whole answer.
func (h *hammer) strike(context.Context) error {
	if err := h.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := h.conn.Write(h.request); err != nil {
		return err
	}
	length, status, chunked := -1, "", false
	for {
		line, err := h.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if status == "" {
			status = strings.TrimSpace(string(line))
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = true
		}
	}
	if err := h.skip(length, chunked); err != nil {
		return err
	}
	if !strings.Contains(status, strconv.Itoa(h.status)) {
		return errors.New("the API answered " + status)
	}
	return nil
}

// skip reads a body.
func (h *hammer) skip(length int, chunked bool) error {
	if chunked {
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(h.answers)); err != nil {
			return err
		}
		length = len("\r\n") // what ends the trailer
	}
	if length < 0 {
		return errors.New("the answer has no length")
	}
	_, err := io.CopyN(io.Discard, h.answers, int64(length))
	return err
}

// submitNoop submits bench.noop.
var submitNoop = blow{http.MethodPost, "/api/jobs", `{"kind":"bench.noop","input":{}}`, http.StatusAccepted}

// hammers opens n connections that strike the same blow.
func (s *stack) hammers(ctx context.Context, n int, b blow) ([]func(context.Context) error, func(), error) {
	var list []*hammer
	closeAll := func() {
		for _, h := range list {
			h.close()
		}
	}
	strikes := make([]func(context.Context) error, 0, n)
	for range n {
		h, err := newHammer(ctx, s.client, b)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		list = append(list, h)
		strikes = append(strikes, h.strike)
	}
	return strikes, closeAll, nil
}
