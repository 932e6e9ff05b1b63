package ratelimit

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

func redisOptions(t testing.TB, r *localstack.Redis) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	return o
}
