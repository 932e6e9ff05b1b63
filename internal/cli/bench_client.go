package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
}

func newHammer(ctx context.Context, c client, path, body string) (*hammer, error) {
	address := strings.TrimPrefix(c.base, "http://")
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, address, c.key, len(body), body)
	return &hammer{conn: conn, answers: bufio.NewReader(conn), request: []byte(request)}, nil
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
	length, status := -1, ""
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
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.EqualFold(name, "Content-Length") {
			if _, err := fmt.Sscan(value, &length); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("the answer has no length")
	}
	if _, err := io.CopyN(io.Discard, h.answers, int64(length)); err != nil {
		return err
	}
	if !strings.Contains(status, fmt.Sprint(http.StatusAccepted)) {
		return errors.New("the API answered " + status)
	}
	return nil
}

// hammers opens n connections that submit bench.noop.
func (s *stack) hammers(ctx context.Context, n int) ([]func(context.Context) error, func(), error) {
	var list []*hammer
	closeAll := func() {
		for _, h := range list {
			h.close()
		}
	}
	strikes := make([]func(context.Context) error, 0, n)
	for range n {
		h, err := newHammer(ctx, s.client, "/api/jobs", `{"kind":"bench.noop","input":{}}`)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		list = append(list, h)
		strikes = append(strikes, h.strike)
	}
	return strikes, closeAll, nil
}
