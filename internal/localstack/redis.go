package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const serviceStartTimeout = 30 * time.Second

// RedisOptions says where a private Redis keeps its password, port and log.
type RedisOptions struct {
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	Log  *slog.Logger
}

// Redis is a private server that keeps nothing: it is empty after each start,
// as PayAid never has the only copy of anything there.
type Redis struct {
	*Process
	port     int
	password string
}

// StartRedis starts redis-server, as an unprivileged user when run by root.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("start redis: redis-server is not installed: run `apt-get install redis-server`, " +
			"or set REDIS_URL to one of your own")
	}
	as, err := unprivileged("redis", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	r := &Redis{}
	if r.port, err = dir.port(ctx, o.Port); err == nil {
		r.password, err = dir.secret("password")
	}
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("start redis: %w", err)
	}
	r.Process, err = startProcess(ctx, processOptions{
		name:       "redis",
		path:       path,
		args:       []string{"-"},
		stdin:      r.config(),
		credential: as,
		stopSignal: syscall.SIGTERM,
		ready:      r.ping,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// config goes to the server's standard input: arguments are for all to read.
func (r *Redis) config() string {
	return strings.Join([]string{
		"bind 127.0.0.1",
		fmt.Sprint("port ", r.port),
		"requirepass " + r.password,
		`save ""`,
		"appendonly no",
		"maxmemory 256mb",
		"maxmemory-policy volatile-lfu",
		"daemonize no",
		`logfile ""`,
		"",
	}, "\n")
}

// URL is the server's address with its password.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", r.password), Host: loopback(r.port), Path: "/0"}
	return u.String()
}

// ping is nil when the server takes the password. It speaks the protocol itself,
// because a client library reports each refused connection on its way there.
func (r *Redis) ping(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", loopback(r.port))
	if err != nil {
		return err
	}
	defer conn.Close()
	const want = "+OK\r\n+PONG\r\n"
	got := make([]byte, len(want))
	conn.SetDeadline(time.Now().Add(time.Second))
	if err := writeAll(conn, "AUTH "+r.password+"\r\nPING\r\n"); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("ping redis: it answers %q", got)
	}
	return nil
}
