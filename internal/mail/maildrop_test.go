package mail

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// A maildrop is a mail server that keeps what it is sent, as it was sent.
type maildrop struct {
	addr  string
	mails chan []byte
}

func newMaildrop(t *testing.T) *maildrop {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &maildrop{addr: listener.Addr().String(), mails: make(chan []byte, 1000)}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return dropSession{d}, nil }))
	s.ReadTimeout, s.WriteTimeout = time.Minute, time.Minute
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(listener) })
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return d
}

// next waits for a mail.
func (d *maildrop) next(t *testing.T) []byte {
	t.Helper()
	select {
	case b := <-d.mails:
		return b
	case <-time.After(time.Minute):
		t.Fatal("no mail came within a minute")
		return nil
	}
}

type dropSession struct{ d *maildrop }

func (dropSession) Reset()                               {}
func (dropSession) Logout() error                        { return nil }
func (dropSession) Mail(string, *smtp.MailOptions) error { return nil }
func (dropSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s dropSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		s.d.mails <- b
	}
	return err
}

// submit sends mails over one connection.
func submit(addr string, mails ...[]byte) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("localhost"); err != nil {
		return err
	}
	for i, b := range mails {
		if err := c.SendMail("billing@rao.example", []string{"asha@customer.example"}, bytes.NewReader(b)); err != nil {
			return fmt.Errorf("send mail %d: %w", i, err)
		}
	}
	return nil
}

// composeCorpus gives each case an ID of its own, so that it is found again, and the headers to unsubscribe.
func composeCorpus(t *testing.T) [][]byte {
	t.Helper()
	mails := make([][]byte, len(corpus))
	for i, c := range corpus {
		c.ID = fmt.Sprintf("%s.%d", c.ID, i)
		if c.Unsubscribe == "" {
			c.Unsubscribe = "https://mail.rao.example/u/x"
		}
		mails[i] = compose(t, c.Message)
	}
	return mails
}

// TestServersKeepTheBytes: lines that begin with a dot come through, and all else.
func TestServersKeepTheBytes(t *testing.T) {
	t.Parallel()
	d := newMaildrop(t)
	mails := composeCorpus(t)
	if err := submit(d.addr, mails...); err != nil {
		t.Fatal(err)
	}
	for i, c := range corpus {
		if got := d.next(t); !bytes.Equal(got, mails[i]) {
			t.Errorf("%s: sent\n%q\nreceived\n%q", c.name, mails[i], got)
		}
	}
}
