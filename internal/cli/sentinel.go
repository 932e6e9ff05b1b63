package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelScheme begins the address of a Redis that Sentinels watch over.
const sentinelScheme = "redis+sentinel"

const (
	// A Sentinel that is away costs this much, and the next one is asked.
	askSentinelWithin = time.Second
	// A primary that was replaced while it could not be heard keeps its connections at most this long.
	lifeBehindSentinels = 30 * time.Second
)

// sentinels know which Redis is primary. Each connection is made to the one that they name then, and when that is
// another than before, connections to the one before are closed: what it says counts no more.
type sentinels struct {
	name string // that they know the primary by
	ask  []*redis.Options

	mu      sync.Mutex
	primary string
	open    map[*sentinelConn]struct{}
}

// sentinelOptions reads redis+sentinel://user:password@host:port,host:port/database?master=NAME. User and password are
// those of Redis; sentinel_username and sentinel_password those of the Sentinels, if they want any. Its error repeats
// nothing of it.
func sentinelOptions(address string) (*redis.Options, error) {
	rest := strings.TrimPrefix(address, sentinelScheme+"://")
	hosts := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		hosts = rest[:i]
	}
	before := ""
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		before, hosts = hosts[:i+1], hosts[i+1:]
	}
	first, _, _ := strings.Cut(hosts, ",")
	u, err := url.Parse("redis://" + before + first + rest[len(before)+len(hosts):])
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	query := u.Query()
	s := &sentinels{name: query.Get("master"), open: make(map[*sentinelConn]struct{})}
	if s.name == "" {
		return nil, errors.New("names no primary; want ?master=NAME at its end, as the Sentinels call it")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			return nil, errors.New("want host:port of each Sentinel, by commas, such as " + sentinelScheme + "://a:26379,b:26379/0?master=NAME")
		}
		s.ask = append(s.ask, &redis.Options{Addr: host, Username: query.Get("sentinel_username"), Password: query.Get("sentinel_password"),
			DialTimeout: askSentinelWithin, ReadTimeout: askSentinelWithin, WriteTimeout: askSentinelWithin,
			MaxRetries: -1, DialerRetries: 1, PoolSize: 1, DisableIdentity: true, Protocol: 2})
	}
	for _, ours := range []string{"master", "sentinel_username", "sentinel_password"} {
		query.Del(ours)
	}
	u.RawQuery = query.Encode()
	options, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errors.New("is not a Redis URL")
	}
	options.Addr = s.name // in logs; nothing is at it
	options.Dialer = s.dial
	options.ConnMaxLifetime = lifeBehindSentinels
	return options, nil
}

// dial connects to the primary.
func (s *sentinels) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: askSentinelWithin, KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &sentinelConn{Conn: conn, of: s, address: address}
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
	return c, nil
}

// find asks one Sentinel after the other, beginning with the one that answered last, who is primary.
func (s *sentinels) find(ctx context.Context) (string, error) {
	s.mu.Lock()
	list := slices.Clone(s.ask)
	s.mu.Unlock()
	var errs []error
	for i, o := range list {
		own := *o // a client fills in what is not set
		client := redis.NewSentinelClient(&own)
		answer, err := client.GetMasterAddrByName(ctx, s.name).Result()
		_ = client.Close()
		if err == nil && len(answer) == 2 {
			s.found(o, net.JoinHostPort(answer[0], answer[1]), i > 0)
			return net.JoinHostPort(answer[0], answer[1]), nil
		}
		if errors.Is(err, redis.Nil) {
			err = fmt.Errorf("knows no primary %s", s.name)
		}
		errs = append(errs, fmt.Errorf("ask the Sentinel %s: %w", o.Addr, err))
	}
	return "", errors.Join(errs...)
}

// found notes who answered and what, and leaves a primary that is none any more.
func (s *sentinels) found(by *redis.Options, primary string, later bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if later {
		rest := slices.DeleteFunc(slices.Clone(s.ask), func(o *redis.Options) bool { return o == by })
		s.ask = append([]*redis.Options{by}, rest...)
	}
	if s.primary == primary {
		return
	}
	s.primary = primary
	for c := range s.open {
		if c.address != primary {
			_ = c.Conn.Close()
			delete(s.open, c)
		}
	}
}

// A sentinelConn is known to its sentinels as long as it is open.
type sentinelConn struct {
	net.Conn
	of      *sentinels
	address string
}

// Close implements net.Conn.
func (c *sentinelConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
