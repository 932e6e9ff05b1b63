package localstack

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// asParent makes the test binary start services and then hang, so that a test
// can kill it the hard way.
const asParent = "PAYAID_TEST_PARENT_OF"

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(asParent); ok {
		beParent(dir)
	}
	code := RunTests(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "after all was stopped:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func beParent(dir string) {
	ctx := context.Background()
	pg, err := StartPostgres(ctx, PostgresOptions{Dir: dir + "/postgres"})
	exitOn(err)
	r, err := StartRedis(ctx, RedisOptions{Dir: dir + "/redis"})
	exitOn(err)
	fmt.Println(pg.Pid(), r.Pid(), pg.URL("postgres"), r.URL())
	<-ctx.Done()
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
