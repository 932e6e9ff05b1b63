package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// here may reach the test's own receivers, by http.
func here() Policy { return Policy{AllowHTTP: true, Networks: loopback} }

// asked reads a request, and reports whether there was one.
func asked(c net.Conn) bool {
	in := bufio.NewReader(c)
	request, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

// after reads a request and goes on with what is said to it.
func after(say func(c net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if asked(c) {
			say(c)
		}
	}
}

func says(text string) func(net.Conn) {
	return after(func(c net.Conn) { _, _ = io.WriteString(c, text) })
}

// forever says it again and again, until nobody listens any more.
func forever(first, again string, every time.Duration) func(net.Conn) {
	return after(func(c net.Conn) {
		_, err := io.WriteString(c, first)
		for err == nil {
			if every > 0 {
				time.Sleep(every) // the pace of the receiver, which nobody waits for
			}
			_, err = io.WriteString(c, again)
		}
	})
}

// hold reads a request, says something, and waits until the other side is gone.
func hold(text string) func(net.Conn) {
	return after(func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	})
}

// reset ends a connection as a crashed receiver does.
func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

const (
	// patience is for a receiver that doesn't answer; long enough to reach it on a machine that is busy.
	patience = 2 * time.Second
	noAnswer = "no answer within 2s"
	// busy is longer than anything takes there that isn't waited for.
	busy = 30 * time.Second
)

// patienceFor is the timeout of an attempt: short where it is to run out.
func patienceFor(code string) time.Duration {
	if code == Timeout {
		return patience
	}
	return 2 * busy
}

// Each misbehaviour ends in time, with a code and with words for the owner of the receiver.
func TestReceiversMisbehave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve        func(net.Conn)
		code, detail string
		status       int
	}{
		"says nothing":           {hold(""), Timeout, noAnswer, 0},
		"a byte at a time":       {forever("HTTP/1.1 200 OK\r\nA: ", "x", 20*time.Millisecond), Timeout, noAnswer, 0},
		"half a head":            {hold("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), Timeout, noAnswer, 0},
		"headers without end":    {forever("HTTP/1.1 200 OK\r\n", "A: b\r\n", 0), Protocol, "the head of its answer is longer than 16 KiB", 0},
		"one header without end": {forever("HTTP/1.1 200 OK\r\nA: ", strings.Repeat("x", 1024), 0), Protocol, "the head of its answer is longer than 16 KiB", 0},
		"a status without end":   {forever("HTTP/1.1 200 ", strings.Repeat("x", 1024), 0), Protocol, "the head of its answer is longer than 16 KiB", 0},
		"1xx for ever":           {forever("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 0), Protocol, "the head of its answer is longer than 16 KiB", 0},
		"100 for ever":           {forever("", "HTTP/1.1 100 Continue\r\n\r\n", 0), Protocol, "the head of its answer is longer than 16 KiB", 0},
		"1xx for ever, slowly":   {forever("", "HTTP/1.1 102 Processing\r\n\r\n", 20*time.Millisecond), Timeout, noAnswer, 0},
		"102, then its answer":   {says("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"), "", "", 202},
		"another protocol":       {hold("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), Status, "answered 101 Switching Protocols", 101},
		"HTTP/0.9":               {says("<html>OK</html>\r\n"), Protocol, `it answered otherwise than HTTP/1.1 does: malformed HTTP response "<html>OK</html>"`, 0},
		"HTTP/2 unasked":         {says("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\r\n"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"no number":              {says("HTTP/1.1 OK\r\n\r\n"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"a long number":          {says("HTTP/1.1 2000 OK\r\n\r\n"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"two lengths":            {says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"garbage":                {says("\x16\x03\x01\x00\xff\xfe\x00\r\n\r\n"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"a reset":                {after(reset), Protocol, "the connection was closed before there was an answer", 0},
		"an end":                 {after(func(net.Conn) {}), Protocol, "the connection was closed before there was an answer", 0},
		"an end at once":         {func(net.Conn) {}, Protocol, "the connection was closed before there was an answer", 0},
		"an end within the head": {says("HTTP/1.1 200 OK\r\nContent-"), Protocol, "it answered otherwise than HTTP/1.1 does", 0},
		"an end within the body": {says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"), "", "", 200},
		"a chunk that is none":   {says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "", "", 200},
		"500":                    {says("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"), Status, "answered 500 Internal Server Error", 500},
		"a status of its own":    {says("HTTP/1.1 599 Oh\r\nContent-Length: 0\r\n\r\n"), Status, "answered 599", 599},
		"0":                      {says("HTTP/1.1 000 Oh\r\nContent-Length: 0\r\n\r\n"), Status, "answered 0", 0},
		"304":                    {says("HTTP/1.1 304 Not Modified\r\n\r\n"), Redirect, "answered 304 Not Modified", 304},
		"410":                    {says("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), Gone, "answered 410 Gone", 410},
		"299":                    {says("HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n"), "", "", 299},
		"204":                    {says("HTTP/1.1 204 No Content\r\n\r\n"), "", "", 204},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := listen(t, "127.0.0.1:0", c.serve)
			client := testClient(t, Config{Policy: here(), Timeout: patienceFor(c.code)})
			a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String()))
			if a.Code != c.code || !strings.HasPrefix(a.Detail, c.detail) || c.detail == "" != (a.Detail == "") || a.StatusCode != c.status {
				t.Errorf("got %q, %d, %q", a.Code, a.StatusCode, a.Detail)
			}
			if a.Latency <= 0 || a.Latency > busy || time.Since(a.StartedAt) > 2*busy {
				t.Errorf("it took %s, begun %s", a.Latency, a.StartedAt)
			}
			if a.Address != receiver.Addr().String() || a.Request.Get("webhook-id") == "" || (a.Response != nil) != (a.StatusCode != 0 || c.code == Status) {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// Who answers before the question is taken at that word, if it comes in time; there is no telling.
func TestAnswersBeforeTheQuestion(t *testing.T) {
	t.Parallel()
	receiver := listen(t, "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		asked(c)
	})
	client := testClient(t, Config{Policy: here()})
	for range 20 {
		a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String()))
		if a.Code != "" && (a.Code != Protocol || a.Detail != "it answered before it was asked" && a.Detail != closedEarly) {
			t.Errorf("got %q, %s", a.Code, a.Detail)
		}
	}
}

// flood counts what a receiver gets rid of before the connection is closed.
func flood(head string, sent *atomic.Int64) func(net.Conn) {
	return after(func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for chunk := []byte(strings.Repeat("0123456789abcde\n", 4096)); err == nil; {
			var n int
			n, err = c.Write(chunk)
			sent.Add(int64(n))
		}
	})
}

// Of a big answer the beginning is read, as it is; the rest stays where it was.
func TestBigAnswersAreNotRead(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"10 GB":       "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n",
		"no length":   "HTTP/1.1 200 OK\r\n\r\n",
		"a gzip bomb": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10737418240\r\n\r\n",
	} {
		var sent atomic.Int64
		receiver := listen(t, "127.0.0.1:0", flood(head, &sent))
		client := testClient(t, Config{Policy: here()})
		a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String()))
		if a.Code != "" || len(a.Body) != keptBody || !bytes.HasPrefix(a.Body, []byte("0123456789abcde\n0123")) || cap(a.Body) > 4*keptBody {
			t.Errorf("%s: got %q, %d bytes", name, a.Code, len(a.Body))
		}
		// What the kernels on both sides hold is not ours to bound.
		if n := sent.Load(); n > 32<<20 || a.Latency > 10*time.Second {
			t.Errorf("%s: %d bytes left the receiver in %s", name, n, a.Latency)
		}
	}
}

// What is packed stays packed: 10 MB of zeros, in 10 KB.
func TestPackedAnswersStayPacked(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	accepted := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accepted <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer receiver.Close()
	a := testClient(t, Config{Policy: here()}).Send(t.Context(), delivery(receiver.URL))
	if got := <-accepted; got != "" || a.Code != "" || !bytes.Equal(a.Body, packed.Bytes()[:keptBody]) || a.Response.Get("Content-Encoding") != "gzip" {
		t.Errorf("asked for %q, got %q, %d bytes", got, a.Code, len(a.Body))
	}
}

// Whether a delivery was taken is known from the head. A body that doesn't come is waited for briefly.
func TestBodiesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve func(net.Conn)
		code  string
		body  string
	}{
		"none":             {hold("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), "", ""},
		"half":             {hold("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n01234"), Status, "01234"},
		"a byte at a time": {forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 50*time.Millisecond), "", "xxxx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := listen(t, "127.0.0.1:0", c.serve)
			a := testClient(t, Config{Policy: here(), Timeout: 20 * time.Second}).Send(t.Context(), delivery("http://"+receiver.Addr().String()))
			if a.Code != c.code || !strings.HasPrefix(string(a.Body), c.body) || len(a.Body) > 100 {
				t.Errorf("got %q, %q, %s", a.Code, a.Body, a.Detail)
			}
			if a.Latency < bodyTime-100*time.Millisecond || a.Latency > 15*time.Second {
				t.Errorf("it took %s", a.Latency)
			}
		})
	}
}

// Who has nothing to say there is no receiver.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	client := testClient(t, Config{Policy: here(), Resolver: resolver(t, nil), Timeout: 5 * time.Second})
	if a := client.Send(t.Context(), delivery("http://"+closed.Addr().String())); a.Code != Connect || a.Detail != "connection refused" || a.Address != "" {
		t.Errorf("got %q at %q, %s", a.Code, a.Address, a.Detail)
	}
	if a := client.Send(t.Context(), delivery("http://nobody.example.com")); a.Code != DNS || a.Detail != "the host has no address" {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
	mute := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("secret.server:53 is away")
	}}
	client = testClient(t, Config{Policy: here(), Resolver: mute})
	if a := client.Send(t.Context(), delivery("http://nobody.example.com")); a.Code != DNS || strings.Contains(a.Detail, "secret") || a.Detail == "" {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
}

// A caller that gives up isn't kept, and nor is one whose client is closed.
func TestCallingOff(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 2)
	receiver := listen(t, "127.0.0.1:0", after(func(c net.Conn) { arrived <- struct{}{}; _, _ = io.Copy(io.Discard, c) }))
	client := testClient(t, Config{Policy: here(), Timeout: time.Minute})
	send := func(ctx context.Context) chan Answer {
		out := make(chan Answer, 1)
		go func() { out <- client.Send(ctx, delivery("http://"+receiver.Addr().String())) }()
		return out
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := send(ctx), send(t.Context())
	<-arrived
	<-arrived
	cancel()
	if a := <-first; a.Code != Cancelled {
		t.Errorf("called off: got %q, %s", a.Code, a.Detail)
	}
	client.Close()
	if a := <-second; a.Code != Cancelled {
		t.Errorf("closed: got %q, %s", a.Code, a.Detail)
	}
	if a := client.Send(ctx, delivery("http://"+receiver.Addr().String())); a.Code != Cancelled || len(arrived) != 0 {
		t.Errorf("called off before: got %q, %s", a.Code, a.Detail)
	}
}

// What is kept goes into a database and onto screens.
func TestWhatIsKeptIsClean(t *testing.T) {
	t.Parallel()
	receiver := listen(t, "127.0.0.1:0", says("HTTP/1.1 200 OK\r\nA: xy\xff\r\nSet-Cookie: session=hunter2\r\nX-Api-Key: hunter2\r\nRetry-After: 9\r\nContent-Length: 2\r\n\r\n\x00\xff"))
	r := delivery("http://" + receiver.Addr().String())
	r.Headers = map[string]string{"authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "X-Tenant": "seven", "Host": "example.com", "webhook-id": "mine", "X-Bad": "a\r\nb: c"}
	a := testClient(t, Config{Policy: here(), UserAgent: "PayAid-Webhooks/test"}).Send(t.Context(), r)
	if all := fmt.Sprint(a); strings.Contains(all, "hunter2") || a.Response.Get("A") != "xy\uFFFD" {
		t.Errorf("got %q", all)
	}
	if a.Request.Get("Authorization") != Masked || a.Request.Get("X-Tenant") != "seven" || a.Request.Get("Webhook-Id") != r.ID || a.Request["Host"] != nil ||
		a.Request["X-Bad"] != nil || a.Request.Get("User-Agent") != "PayAid-Webhooks/test" || a.Request["Idempotency-Key"] != nil {
		t.Errorf("got %v", a.Request)
	}
	if a.RetryAfter != 9*time.Second || string(a.Body) != "\x00\xff" || a.Response.Get("Set-Cookie") != Masked {
		t.Errorf("got %+v", a)
	}
	if n, _ := strconv.Atoi(a.Request.Get("Webhook-Timestamp")); time.Since(time.Unix(int64(n), 0)) > time.Minute {
		t.Errorf("signed at %d", n)
	}
}
