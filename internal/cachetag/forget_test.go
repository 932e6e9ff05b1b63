package cachetag

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

func TestForget(t *testing.T) {
	t.Parallel()
	url := localstack.NewRedis(t).URL()
	c, other := open(t, url), open(t, url)
	client := raw(t, url)
	if err := client.Set(t.Context(), "payaid:ratelimit:somebody", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	entry := func(i int) Entry {
		return Entry{Organization: fmt.Sprint(i), Name: "n", Tags: []string{"contacts"}, TTL: time.Hour}
	}
	const organizations = 700 // more than one scan gives
	for i := range organizations {
		for _, want := range []Outcome{Miss, Hit} {
			if _, got, err := c.Read(t.Context(), entry(i), constant(1)); err != nil || got != want {
				t.Fatalf("got a %s, %v; want a %s", got, err, want)
			}
		}
	}
	// A value that is loaded before and written after counts no more than the others.
	loading, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	late := entry(organizations)
	go func() {
		_, _, err := other.Read(t.Context(), late, func(context.Context) ([]byte, error) {
			close(loading)
			<-goOn
			return number(1), nil
		})
		done <- err
	}()
	<-loading
	if err := c.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i := range organizations + 1 {
		if value, got, err := other.Read(t.Context(), entry(i), constant(2)); err != nil || got != Miss || string(value) != "2" {
			t.Fatalf("organization %d: got %s by a %s, %v", i, value, got, err)
		}
	}
	if n := client.Exists(t.Context(), "payaid:ratelimit:somebody").Val(); n != 1 {
		t.Error("what isn't the cache's is gone")
	}
	var none *Cache
	if err := none.Forget(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestForgetSaysThatRedisIsAway(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	c := open(t, server.URL())
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Forget(t.Context()); err == nil {
		t.Error("it was forgotten by nobody")
	}
}
