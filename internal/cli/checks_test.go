package cli

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
)

// The check of a Redis that takes connections and says nothing ends with its time.
func TestCheckOfRedisThatHangs(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections for it
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	checks, done, err := apiSetup{redisURL: "redis://" + silent.Addr().String()}.checks(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	last := checks[len(checks)-1]
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := last.Probe(ctx); last.Name != "redis" || err == nil {
		t.Errorf("%s: it answers", last.Name)
	}
	if took := time.Since(began); took > 2500*time.Millisecond { // the client's own patience is three seconds
		t.Errorf("it took %s", took)
	}
}

// A Redis that is full is not well, though it answers.
func TestDoctorSeesAFullRedis(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	look := func() finding {
		var d doctor
		d.redis(t.Context(), server.URL())
		return found(t, d, "redis")
	}
	if f := look(); f.State != fine {
		t.Errorf("got %+v", f)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != uneasy || f.Remedy == "" {
		t.Errorf("got %+v", f)
	}
}
