package localstack

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestRedisComesBackEmptyAfterAKill(t *testing.T) {
	t.Parallel()
	r := NewRedis(t)
	client := redisClient(t, r.URL())
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := r.Pid()
	r.Kill()
	if err := r.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Pid() == before {
		t.Error("the process is the one that was killed")
	}
	if err := client.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Errorf("get after the kill: %v, want redis.Nil", err)
	}
}

func TestRedisIsBoundedAndHasAPassword(t *testing.T) {
	t.Parallel()
	r := TestRedis(t)
	client := redisClient(t, r.URL())
	for name, want := range map[string]string{
		"maxmemory": "268435456", "maxmemory-policy": "volatile-lfu", "save": "", "appendonly": "no", "bind": "127.0.0.1",
	} {
		got, err := client.ConfigGet(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	anonymous := redis.NewClient(&redis.Options{Addr: loopback(r.port)})
	defer anonymous.Close()
	if err := anonymous.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without a password: %v", err)
	}
	if strings.Contains(strings.Join(cmdline(r.Pid()), " "), r.password) {
		t.Error("the password is on the command line, for all to read")
	}
}

func TestRedisStartsAgainWhereItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "redis")
	var urls []string
	for range 2 {
		r, err := StartRedis(t.Context(), RedisOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, r.URL())
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if urls[0] != urls[1] {
		t.Errorf("the second start is at %s, the first was at %s", urls[1], urls[0])
	}
}
