package cli

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// What has begun when a listener takes nobody any more is served; who comes then isn't reset in the middle.
func TestLastConnectionsAreServed(t *testing.T) {
	t.Parallel()
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// Made, and with its request sent, before anybody accepts.
	early, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	fmt.Fprint(early, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if err := letNobodyBegin(l); err != nil {
		t.Fatal(err)
	}
	late := net.Dialer{Timeout: 200 * time.Millisecond}
	if c, err := late.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("a connection began afterwards")
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") }), ReadHeaderTimeout: time.Second}
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	answer, err := http.ReadResponse(bufio.NewReader(early), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", answer, err)
	}
}
