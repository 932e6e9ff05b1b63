package cli

import (
	"os"
	"strings"
	"testing"
)

func TestProcessesJoinARunningUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := running{PID: os.Getpid(), DatabaseURL: "postgres://one/payaid", NATSURL: "nats://one", RedisURL: "redis://one"}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, data  string
		given, want [3]string // the database, NATS and Redis
		fault       string
	}{
		{"all", dir, [3]string{}, [3]string{"postgres://one/payaid", "nats://one", "redis://one"}, ""},
		{"but what is set", dir, [3]string{"", "nats://two", "redis://two"}, [3]string{"postgres://one/payaid", "nats://two", "redis://two"}, ""},
		{"none", "", [3]string{"", "nats://two", ""}, [3]string{"", "nats://two", ""}, ""},
		{"two databases", dir, [3]string{"postgres://two/payaid"}, [3]string{"postgres://two/payaid"}, "--data and DATABASE_URL are both set"},
		{"nothing runs", t.TempDir(), [3]string{}, [3]string{}, "nothing runs in"},
	} {
		database, nats, redis := databaseSettings{DatabaseURL: tt.given[0]}, natsSettings{tt.given[1]}, redisSettings{tt.given[2]}
		err := dataSettings{tt.data}.join(&database, &nats, &redis)
		if got := [3]string{database.DatabaseURL, nats.NATSURL, redis.RedisURL}; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
	}
}
