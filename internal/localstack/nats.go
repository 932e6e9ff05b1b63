package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const natsUser = "payaid"

// NATSOptions says where a private NATS server lives.
type NATSOptions struct {
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	Log  *slog.Logger
}

// NATS is a server with JetStream inside this process. A publish that it has
// acknowledged is on the disk.
type NATS struct {
	server  *server.Server
	dir     *workdir
	url     string
	once    sync.Once
	stopped chan struct{}
}

// StartNATS starts the embedded server and returns when it takes connections.
func StartNATS(ctx context.Context, o NATSOptions) (*NATS, error) {
	if err := checkNATSVersion(server.VERSION); err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	n, err := startEmbedded(ctx, dir, o.Port)
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("start nats: %w", err)
	}
	return n, nil
}

func startEmbedded(ctx context.Context, dir *workdir, asked int) (*NATS, error) {
	port, err := dir.port(ctx, asked)
	if err != nil {
		return nil, err
	}
	password, err := dir.secret("password")
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "payaid-local",
		Host:       "127.0.0.1",
		Port:       port,
		Username:   natsUser,
		Password:   password,
		JetStream:  true,
		StoreDir:   dir.path,
		SyncAlways: true,
		NoSigs:     true,
	})
	if err != nil {
		return nil, err
	}
	logger := &natsLogger{log: dir.log}
	s.SetLoggerV2(logger, false, false, false)
	s.Start()
	n := &NATS{server: s, dir: dir, url: natsURL(port, password), stopped: make(chan struct{})}
	if !s.ReadyForConnections(remaining(ctx, serviceStartTimeout)) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("it does not take connections: %w", logger.cause())
	}
	return n, nil
}

// remaining is the time that ctx leaves, at most limit.
func remaining(ctx context.Context, limit time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(deadline))
	}
	return limit
}

// URL is the server's address with user and password.
func (n *NATS) URL() string { return n.url }

// Stop shuts the server down and waits for its last write. Whoever has
// connections drains them before. A second call does nothing.
func (n *NATS) Stop(ctx context.Context) error {
	n.once.Do(func() {
		go func() {
			defer close(n.stopped)
			n.server.Shutdown()
			n.server.WaitForShutdown()
			n.dir.close()
		}()
	})
	select {
	case <-n.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop nats: %w", ctx.Err())
	}
}

func natsURL(port int, password string) string {
	u := url.URL{Scheme: "nats", User: url.UserPassword(natsUser, password), Host: loopback(port)}
	return u.String()
}

// checkNATSVersion refuses servers before 2.15, which sync each message of an
// atomic batch by itself, and could lose acknowledged messages in other ways.
func checkNATSVersion(version string) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) == 3 {
		major, errMajor := strconv.Atoi(parts[0])
		minor, errMinor := strconv.Atoi(parts[1])
		if errors.Join(errMajor, errMinor) == nil && (major > 2 || major == 2 && minor >= 15) {
			return nil
		}
	}
	return fmt.Errorf("nats-server %s is too old: PayAid needs 2.15 or newer", version)
}

// natsLogger turns the server's log into ours. What the server calls a notice is
// noise here; what it calls an error is often one connection's trouble.
type natsLogger struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
}

// cause is the last thing that the server complained about.
func (l *natsLogger) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return context.DeadlineExceeded
	}
	return errors.New(l.last)
}

func (l *natsLogger) note(level slog.Level, format string, v []any) {
	text := fmt.Sprintf(format, v...)
	if level >= slog.LevelWarn {
		l.mu.Lock()
		l.last = text
		l.mu.Unlock()
	}
	l.log.Log(context.Background(), level, "nats server", "text", text)
}

func (l *natsLogger) Noticef(format string, v ...any) { l.note(slog.LevelDebug, format, v) }
func (l *natsLogger) Errorf(format string, v ...any)  { l.note(slog.LevelWarn, format, v) }
func (l *natsLogger) Fatalf(format string, v ...any)  { l.note(slog.LevelError, format, v) }
func (l *natsLogger) Debugf(string, ...any)           {}
func (l *natsLogger) Tracef(string, ...any)           {}

// Warnf passes on what an operator can act on. The password is random, is kept in a file of ours alone
// and never crosses the machine's border, so that it is no hash is no news.
func (l *natsLogger) Warnf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(format, "Plaintext passwords") {
		level = slog.LevelDebug
	}
	l.note(level, format, v)
}
