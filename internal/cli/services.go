package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/localstack"
)

// services are what the product runs on: private ones, or those that are configured.
type services struct {
	databaseURL, redisURL, natsURL string
	mail                           string       // where mail goes
	sinkPort                       int          // of the private mail sink, 0 where there is none
	sink                           api.MailSink // nil: mail leaves the house
	stops                          []func(context.Context) error
}

// startServices starts what is not configured, all at once.
func startServices(ctx context.Context, s upSetup) (*services, error) {
	out := &services{databaseURL: s.services.DatabaseURL, redisURL: s.services.RedisURL, natsURL: s.services.NATSURL,
		mail: s.mail.describe()}
	started := make(chan func(context.Context) error, 4)
	group, starting := errgroup.WithContext(ctx)
	if out.databaseURL == "" {
		group.Go(func() error { return out.startPostgres(starting, s, started) })
	}
	if out.redisURL == "" {
		group.Go(func() error { return out.startRedis(starting, s, started) })
	}
	if out.natsURL == "" {
		group.Go(func() error { return out.startNATS(starting, s, started) })
	}
	if s.mail.server.Host == "" {
		group.Go(func() error { return out.startSink(starting, s, started) })
	}
	err := group.Wait()
	close(started)
	for stop := range started {
		out.stops = append(out.stops, stop)
	}
	if err != nil {
		out.stop()
		return nil, err
	}
	return out, nil
}

func (v *services) startPostgres(ctx context.Context, s upSetup, started chan<- func(context.Context) error) error {
	p, err := localstack.StartPostgres(ctx, localstack.PostgresOptions{
		Dir: filepath.Join(s.data, "postgres"), Fsync: true, Log: s.log.With("process", "postgres"),
	})
	if err != nil {
		return err
	}
	started <- p.Stop
	if err := p.CreateDatabase(ctx, "payaid", ""); err != nil {
		return err
	}
	v.databaseURL = p.URL("payaid")
	return nil
}

func (v *services) startRedis(ctx context.Context, s upSetup, started chan<- func(context.Context) error) error {
	r, err := localstack.StartRedis(ctx, localstack.RedisOptions{
		Dir: filepath.Join(s.data, "redis"), Log: s.log.With("process", "redis"),
	})
	if err != nil {
		return err
	}
	started <- r.Stop
	v.redisURL = r.URL()
	return nil
}

func (v *services) startNATS(ctx context.Context, s upSetup, started chan<- func(context.Context) error) error {
	n, err := localstack.StartNATS(ctx, localstack.NATSOptions{
		Dir: filepath.Join(s.data, "nats"), Log: s.log.With("process", "nats"),
	})
	if err != nil {
		return err
	}
	started <- n.Stop
	v.natsURL = n.URL()
	return nil
}

func (v *services) startSink(ctx context.Context, s upSetup, started chan<- func(context.Context) error) error {
	sink, err := localstack.StartSink(ctx, localstack.SinkOptions{
		Dir: filepath.Join(s.data, "mail"), Log: s.log.With("process", "mail"),
	})
	if err != nil {
		return err
	}
	started <- sink.Stop
	v.sink = caughtMail{sink}
	v.mail = sink.Addr() + " (a sink: mail is kept, not sent)"
	_, port, err := net.SplitHostPort(sink.Addr())
	if err != nil {
		return err
	}
	v.sinkPort, err = strconv.Atoi(port)
	return err
}

// stop ends the private services.
func (v *services) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var group errgroup.Group
	for _, stop := range v.stops {
		group.Go(func() error { return stop(ctx) })
	}
	_ = group.Wait()
}

// describe says where the services are, without their passwords.
func (v *services) describe() string {
	var b strings.Builder
	for _, one := range []struct{ name, address string }{
		{"Postgres", v.databaseURL}, {"Redis", v.redisURL}, {"NATS", v.natsURL},
	} {
		address := "(not a URL)"
		if u, err := url.Parse(one.address); err == nil {
			address = u.Host + u.Path
		}
		fmt.Fprintf(&b, "  %-9s  %s\n", one.name, address)
	}
	fmt.Fprintf(&b, "  %-9s  %s\n", "mail", v.mail)
	return b.String()
}

// keptSecret reads a secret from a file, or makes one there.
func keptSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(data))) >= 32 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	secret := rand.Text() + rand.Text()
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep a secret: %w", err)
	}
	return secret, nil
}
