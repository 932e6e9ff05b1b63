package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/cachetag"
)

// watchedRedis is three servers and three Sentinels, configured as in the cluster, on ports of this machine.
type watchedRedis struct {
	t         *testing.T
	dir       string
	ports     [3]string
	processes [3]*exec.Cmd
	sentinels [3]string // addresses
}

const redisFolder = "../../deploy/kubernetes/components/redis-sentinel/"

func startWatchedRedis(t *testing.T) *watchedRedis {
	t.Helper()
	w := &watchedRedis{t: t, dir: t.TempDir()}
	w.file("auth.conf", "requirepass secret\nmasterauth secret\n")
	for i := range w.ports {
		w.ports[i] = freePort(t)
	}
	for i := range w.ports {
		w.start(i, w.ports[0])
	}
	sentinel, err := os.ReadFile(redisFolder + "sentinel.conf")
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.sentinels {
		port := freePort(t)
		w.sentinels[i] = "127.0.0.1:" + port
		text := strings.NewReplacer("REDIS_SELF", "127.0.0.1", "REDIS_PRIMARY 6379", "127.0.0.1 "+w.ports[0], "port 26379", "port "+port,
			"dir /tmp", "dir "+w.folder("sentinel"+port), "down-after-milliseconds payaid 5000", "down-after-milliseconds payaid 1000",
			"failover-timeout payaid 10000", "failover-timeout payaid 2000").Replace(string(sentinel)) // those who want to lead at once try again after twice this
		w.run(w.file("sentinel"+port+".conf", text+"sentinel auth-pass payaid secret\n"), "--sentinel")
	}
	return w
}

func (w *watchedRedis) folder(name string) string {
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

func (w *watchedRedis) file(name, content string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// start runs one server, as a copy of the one at a port unless that is its own.
func (w *watchedRedis) start(i int, primary string) {
	w.t.Helper()
	config, err := os.ReadFile(redisFolder + "redis.conf")
	if err != nil {
		w.t.Fatal(err)
	}
	port := w.ports[i]
	text := strings.NewReplacer("REDIS_SELF", "127.0.0.1", "/etc/redis/auth.conf", filepath.Join(w.dir, "auth.conf"), "port 6379", "port "+port,
		"dir /tmp", "dir "+w.folder("redis"+port)).Replace(string(config))
	if primary != port {
		text += "replicaof 127.0.0.1 " + primary + "\n"
	}
	w.processes[i] = w.run(w.file("redis"+port+".conf", text))
}

// run starts a server that ends with the test.
func (w *watchedRedis) run(args ...string) *exec.Cmd {
	w.t.Helper()
	var log logLines
	p := exec.Command("redis-server", args...)
	p.Stdout, p.Stderr = &log, &log
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if w.t.Failed() {
			w.t.Logf("%v said:\n%s", args, log.String())
		}
	})
	return p
}

func (w *watchedRedis) url() string {
	return sentinelScheme + "://:secret@" + strings.Join(w.sentinels[:], ",") + "/0?master=payaid"
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// eventually asks again and again, for at most a minute.
func eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		asking, done := context.WithTimeout(ctx, 2*time.Second)
		err := ask(asking)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// When the primary dies another takes its place, and clients that were given the Sentinels go on with it by themselves:
// the cache too, and what was invalidated meanwhile is not answered.
func TestRedisBehindSentinels(t *testing.T) {
	t.Parallel()
	w := startWatchedRedis(t)
	options, err := redisOptions(w.url())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	eventually(t, "the first write, with its copy", func(ctx context.Context) error {
		if err := client.Set(ctx, "seen", "before", 0).Err(); err != nil {
			return err
		}
		if n, err := client.Wait(ctx, 2, time.Second).Result(); err != nil || n < 2 {
			return fmt.Errorf("%d copies: %w", n, err)
		}
		return nil
	})
	eventually(t, "every Sentinel knows the others, and whom it could choose", func(ctx context.Context) error {
		for _, address := range w.sentinels {
			s := redis.NewSentinelClient(&redis.Options{Addr: address})
			others, err := s.Sentinels(ctx, "payaid").Result()
			copies, errCopies := s.Replicas(ctx, "payaid").Result()
			_ = s.Close()
			if err := errors.Join(err, errCopies); err != nil || len(others) != 2 || len(copies) != 2 {
				return fmt.Errorf("%s knows %d others and %d copies: %w", address, len(others), len(copies), err)
			}
		}
		return nil
	})
	cache, err := openCache(w.url(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	entry := cachetag.Entry{Organization: "o", Name: "n", Version: "1", Key: "k", Tags: []string{"t"}}
	stored := "before"
	hit := func(ctx context.Context) error {
		value, outcome, err := cache.Read(ctx, entry, func(context.Context) ([]byte, error) { return []byte(stored), nil })
		if string(value) != stored {
			t.Errorf("%s: got %q, want %q", outcome, value, stored)
		}
		if err != nil || outcome != cachetag.Hit {
			return fmt.Errorf("the cache says %s: %w", outcome, err)
		}
		return nil
	}
	eventually(t, "a hit", hit)

	began := time.Now()
	if err := w.processes[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a write on the new primary", func(ctx context.Context) error { return client.Set(ctx, "seen", "after", 0).Err() })
	t.Logf("writes went on %s after the primary was killed", time.Since(began).Round(10*time.Millisecond))
	primary, err := client.InfoMap(t.Context(), "replication").Result()
	if err != nil || primary["Replication"]["role"] != "master" {
		t.Errorf("it speaks to %v, %v", primary["Replication"], err)
	}
	stored = "after"
	eventually(t, "an invalidation", func(ctx context.Context) error { return cache.Bump(ctx, "o", "t") })
	eventually(t, "a hit on the new primary", hit)
	t.Logf("the cache hit %s after the primary was killed", time.Since(began).Round(10*time.Millisecond))

	// A Sentinel less is no matter, and neither is the old primary that comes back.
	w.start(0, w.ports[0])
	eventually(t, "the old primary is a copy", func(ctx context.Context) error {
		old := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + w.ports[0], Password: "secret"})
		defer old.Close()
		info, err := old.InfoMap(ctx, "replication").Result()
		if err != nil || info["Replication"]["role"] != "slave" {
			return fmt.Errorf("it is %v: %w", info["Replication"]["role"], err)
		}
		return nil
	})
	eventually(t, "what was written is there", func(ctx context.Context) error {
		if got, err := client.Get(ctx, "seen").Result(); err != nil || got != "after" {
			return fmt.Errorf("got %q: %w", got, err)
		}
		return nil
	})
}

// When the Sentinels name another primary, connections to the one before are closed though it still answers.
func TestConnectionsToAFormerPrimaryEnd(t *testing.T) {
	t.Parallel()
	s := &sentinels{name: "p", ask: []*redis.Options{{}}, open: make(map[*sentinelConn]struct{})}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &sentinelConn{Conn: ours, of: s, address: "a:1"}
	s.open[c] = struct{}{}
	s.found(s.ask[0], "a:1", false)
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Errorf("the connection to the primary was closed: %v", err)
	}
	s.found(s.ask[0], "b:1", false)
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection to the former primary is open")
	}
	if len(s.open) != 0 {
		t.Errorf("%d connections are known", len(s.open))
	}
}

// What is wrong with an address is said without it, as it may hold a password.
func TestSentinelOptions(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"redis+sentinel://:canary@a:1,b:2/0":                  "names no primary",
		"redis+sentinel://:canary@a,b:2/0?master=p":           "want host:port of each Sentinel",
		"redis+sentinel://:canary@a:1,,b:2/0?master=p":        "want host:port of each Sentinel",
		"redis+sentinel://:canary@/0?master=p":                "want host:port of each Sentinel",
		"redis+sentinel://:canary@a:1/x?master=p":             "is not a Redis URL",
		"redis+sentinel://:canary@a:1/0?master=p&canary=true": "is not a Redis URL",
		"redis+sentinel://:%zzcanary@a:1/0?master=p":          "is not a URL",
	} {
		_, err := sentinelOptions(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
	}
	o, err := sentinelOptions("redis+sentinel://user:p%40ss@[::1]:26379,b:26380/3?master=payaid&sentinel_password=x&pool_size=7")
	if err != nil {
		t.Fatal(err)
	}
	if o.Username != "user" || o.Password != "p@ss" || o.DB != 3 || o.PoolSize != 7 || o.Dialer == nil {
		t.Errorf("got %+v", o)
	}
}
