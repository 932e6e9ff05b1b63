package cli

import (
	"context"
	"net"
	"testing"
	"time"
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
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}
