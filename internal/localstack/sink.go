package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
)

const (
	// The sink is for looking at mail, not for keeping it.
	maxSinkMessages = 1000
	maxSinkMessage  = 25 << 20
	// RFC 5321, section 4.5.3.2.7: a server waits at least five minutes for the
	// next command.
	smtpPatience = 5 * time.Minute
)

// SinkOptions says where a mail sink keeps what it gets.
type SinkOptions struct {
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	Log  *slog.Logger
}

// SinkMessage is the envelope of one message. The message itself, as it came, is
// the file at Path.
type SinkMessage struct {
	// ID is the queue id that the client was told.
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"received_at"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	Size       int       `json:"size"`
	// Subject is decoded; "" also for what came before subjects were kept.
	Subject string `json:"subject"`
	Path    string `json:"-"`
}

// Sink is an SMTP server that accepts everything, sends nothing on, and keeps the
// last thousand messages. What it has accepted is on the disk.
type Sink struct {
	dir      *workdir
	addr     string
	server   *smtp.Server
	listener *openListener
	served   chan error
	limit    int // of messages

	mu       sync.Mutex
	messages []SinkMessage // oldest first
}

// StartSink starts the server and returns when it takes connections.
func StartSink(ctx context.Context, o SinkOptions) (*Sink, error) {
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start mail sink: %w", err)
	}
	s := &Sink{dir: dir, served: make(chan error, 1), limit: maxSinkMessages}
	if err := s.start(ctx, o.Port); err != nil {
		dir.close()
		return nil, fmt.Errorf("start mail sink: %w", err)
	}
	return s, nil
}

func (s *Sink) start(ctx context.Context, asked int) error {
	if err := s.load(); err != nil {
		return err
	}
	port, err := s.dir.port(ctx, asked)
	if err != nil {
		return err
	}
	s.addr = loopback(port)
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.listener = &openListener{Listener: l, open: map[net.Conn]struct{}{}}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &sinkSession{sink: s}, nil
	}))
	s.server.Domain = "localhost"
	s.server.MaxMessageBytes = maxSinkMessage
	s.server.EnableSMTPUTF8 = true
	s.server.ReadTimeout, s.server.WriteTimeout = smtpPatience, smtpPatience
	s.server.ErrorLog = slog.NewLogLogger(s.dir.log.Handler(), slog.LevelDebug)
	go func() { s.served <- s.server.Serve(s.listener) }()
	return nil
}

// Addr is the host and port to submit mail to, without TLS and without a login.
func (s *Sink) Addr() string { return s.addr }

// Messages lists what is kept, the newest first.
func (s *Sink) Messages() []SinkMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.messages)
	slices.Reverse(all)
	return all
}

// Content gives a message as it came; fs.ErrNotExist when the sink has forgotten it or never had it.
func (s *Sink) Content(id string) ([]byte, error) {
	s.mu.Lock()
	i := slices.IndexFunc(s.messages, func(m SinkMessage) bool { return m.ID == id })
	path := ""
	if i >= 0 {
		path = s.messages[i].Path
	}
	s.mu.Unlock()
	if path == "" {
		return nil, fmt.Errorf("read message %s: %w", id, fs.ErrNotExist)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	return body, nil
}

// subjectOf reads the subject of a message, as far as it can be read.
func subjectOf(body []byte) string {
	m, err := netmail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return ""
	}
	subject := m.Header.Get("Subject")
	if decoded, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = decoded
	}
	return strings.ToValidUTF8(subject, "\uFFFD")
}

// Stop closes all connections and waits until the last one's work is done. A
// second call does nothing.
func (s *Sink) Stop(ctx context.Context) error {
	s.listener.closeAll()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	defer s.dir.close()
	<-s.served
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop mail sink: %w", err)
	}
	return nil
}

// load reads what the last start left. A message is there when both its files
// are; the envelope is written first.
func (s *Sink) load() error {
	paths, err := filepath.Glob(s.dir.join("*.json"))
	if err != nil {
		return err
	}
	for _, path := range paths { // in the order of their ids, which is that of time
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var m SinkMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		m.Path = s.dir.join(m.ID + ".eml")
		if _, err := os.Stat(m.Path); err != nil {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		s.messages = append(s.messages, m)
	}
	return nil
}

// keep stores a message for good, and drops the oldest ones over the limit.
func (s *Sink) keep(from string, to []string, body []byte) (SinkMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := uuid.NewV7()
	if err != nil {
		return SinkMessage{}, err
	}
	m := SinkMessage{ID: id.String(), ReceivedAt: time.Now().UTC(), From: from, To: to, Size: len(body), Subject: subjectOf(body),
		Path: s.dir.join(id.String() + ".eml")}
	envelope, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	if err := writeAtomic(s.dir.join(m.ID+".json"), envelope, 0o600); err != nil {
		return m, err
	}
	if err := writeAtomic(m.Path, body, 0o600); err != nil {
		return m, err
	}
	s.messages = append(s.messages, m)
	for len(s.messages) > s.limit {
		oldest := s.messages[0]
		s.messages = s.messages[1:]
		if err := errors.Join(os.Remove(oldest.Path), os.Remove(s.dir.join(oldest.ID+".json"))); err != nil {
			s.dir.log.Warn("old message of the mail sink stays", "message", oldest.ID, "cause", err)
		}
	}
	return m, nil
}

// sinkSession is one transaction after the other on one connection.
type sinkSession struct {
	sink *Sink
	from string
	to   []string
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := s.sink.keep(s.from, s.to, body)
	if err != nil {
		s.sink.dir.log.Warn("mail sink can't keep a message", "cause", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Not stored, try again later"}
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "OK: queued as " + m.ID}
}

func (s *sinkSession) Reset() { s.from, s.to = "", nil }

func (s *sinkSession) Logout() error { return nil }
