package mail

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// maxTalk is how much a server may say in answer to one command; a list of extensions has some hundred bytes.
const maxTalk = 1 << 20

var errTalkative = errors.New("the server says more than an answer can be")

// socket is the connection below go-smtp's client, which bounds the time for commands, but not for the content,
// waits five minutes for what comes before TLS, and reads replies of any length.
type socket struct {
	net.Conn
	patience time.Duration // the longest time that one read or write may take

	deadline time.Time     // what the client asked for last
	body     time.Time     // the end of the content's time, while it is being written
	piece    time.Duration // the longest time that one write of the content may take
	heard    int           // since the last write

	// dotting is set while the last piece of the content is being written, cut when not all of it went out.
	dotting, cut bool
	closed       atomic.Bool
}

// SetDeadline keeps the client from waiting longer than we want to.
func (s *socket) SetDeadline(t time.Time) error {
	if longest := time.Now().Add(s.patience); t.After(longest) {
		t = longest
	}
	s.deadline = t
	return s.Conn.SetDeadline(t)
}

// Write has a deadline always. A peer that doesn't read would hold us for ever.
func (s *socket) Write(b []byte) (int, error) {
	s.heard = 0
	due := time.Now().Add(s.patience)
	if !s.body.IsZero() {
		due = time.Now().Add(s.piece)
	}
	for _, earlier := range []time.Time{s.deadline, s.body} {
		if !earlier.IsZero() && earlier.Before(due) {
			due = earlier
		}
	}
	if err := s.Conn.SetWriteDeadline(due); err != nil {
		return 0, s.short(err)
	}
	n, err := s.Conn.Write(b)
	if n < len(b) {
		return n, s.short(err)
	}
	return n, err
}

func (s *socket) short(err error) error {
	if s.dotting {
		s.cut = true
	}
	return err
}

// Read ends the writing of the content: from here on the answer is waited for.
func (s *socket) Read(b []byte) (int, error) {
	s.dotting = false
	if s.heard > maxTalk {
		return 0, errTalkative
	}
	n, err := s.Conn.Read(b)
	s.heard += n
	return n, err
}

// Close ends the connection at once, from any goroutine: nothing is written any more, not even by TLS.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.Conn.Close()
}

// beginBody bounds the time for the content as a whole, so that a peer that reads a byte now and then doesn't
// hold us: beside the time for a command, a second for each 64 KiB.
func (s *socket) beginBody(size int, patience time.Duration) {
	s.piece = patience
	s.body = time.Now().Add(patience + time.Duration(size>>16)*time.Second)
}

// beginDot says that what is written next ends the content.
func (s *socket) beginDot() { s.dotting, s.cut = true, false }

// dotSent says whether the end of the content may have reached the peer. The kernel has not taken all of it where
// a write came back short, and then nobody will: half a TLS record, and a line without its end, mean nothing.
func (s *socket) dotSent() bool { return !s.cut }

// endBody leaves later writes to the deadlines of commands.
func (s *socket) endBody() { s.body = time.Time{} }
