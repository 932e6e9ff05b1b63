package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

const adminKey = "an-admin-key-of-at-least-32-characters"

// A stack is the services that the processes of one test share, each of which the test may take away.
type stack struct {
	t        *testing.T
	dir      string
	postgres *localstack.Postgres
	redis    *localstack.Redis
	nats     *localstack.NATSProcess // nil on a cluster
	cluster  *localstack.NATSCluster // nil: there is one server
	database string                  // URL
	env      []string
}

// newStack starts private services; the processes are the test's to start.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := newDatabases(t)
	s.startNATS()
	s.migrated()
	s.use(s.nats.URL())
	return s
}

// newClusterStack is newStack with three NATS servers that keep copies of each other's streams.
func newClusterStack(t *testing.T) *stack {
	t.Helper()
	s := newDatabases(t)
	s.startCluster()
	s.migrated()
	s.use(s.cluster.URL())
	return s
}

// newDatabases starts Postgres, with an empty database, and Redis.
func newDatabases(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, dir: passableDir(t)}
	s.startPostgres()
	s.startRedis()
	if err := s.postgres.CreateDatabase(t.Context(), "payaid", ""); err != nil {
		t.Fatal(err)
	}
	s.database = s.postgres.URL("payaid")
	return s
}

// migrated brings the schema to where this program wants it.
func (s *stack) migrated() {
	s.t.Helper()
	if _, err := migrations.Up(s.t.Context(), s.database); err != nil {
		s.t.Fatal(err)
	}
}

// use sets what the processes that are started from now on are told.
func (s *stack) use(nats string) {
	s.env = []string{
		"DATABASE_URL=" + s.database, "NATS_URL=" + nats, "REDIS_URL=" + s.redis.URL(),
		"PAYAID_ADMIN_KEY=" + adminKey, "DB_POOL_SIZE=10", "DB_POOL_OVERFLOW=5", "RATELIMIT_ENABLED=false",
		"OLLAMA_URL=http://127.0.0.1:1", "LOG_LEVEL=info",
	}
}

// passableDir is a new folder that the unprivileged user that Postgres runs as may pass through, which
// those of testing.T are not.
func passableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "payaid-test-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startPostgres starts the cluster, or starts it again where it was. Like the product's own it syncs
// every commit.
func (s *stack) startPostgres() {
	s.t.Helper()
	var err error
	s.postgres, err = localstack.StartPostgres(s.t.Context(), localstack.PostgresOptions{Dir: filepath.Join(s.dir, "postgres"), Fsync: true})
	s.started(s.postgres, err)
}

func (s *stack) startRedis() {
	s.t.Helper()
	var err error
	s.redis, err = localstack.StartRedis(s.t.Context(), localstack.RedisOptions{Dir: filepath.Join(s.dir, "redis")})
	s.started(s.redis, err)
}

func (s *stack) startNATS() {
	s.t.Helper()
	var err error
	s.nats, err = localstack.StartNATSProcess(s.t.Context(), localstack.NATSOptions{Dir: filepath.Join(s.dir, "nats")})
	s.started(s.nats, err)
}

func (s *stack) startCluster() {
	s.t.Helper()
	var err error
	s.cluster, err = localstack.StartNATSCluster(s.t.Context(), localstack.NATSOptions{Dir: filepath.Join(s.dir, "nats-cluster")})
	s.started(s.cluster, err)
}

type stopper interface{ Stop(context.Context) error }

func (s *stack) started(service stopper, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.stop(service) })
}

// stop takes a service away until it is started again.
func (s *stack) stop(service stopper) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := service.Stop(ctx); err != nil {
		s.t.Error(err)
	}
}

// pool connects the test itself to the database, as its owner.
func (s *stack) pool() *pgxpool.Pool {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	return pool
}

// superuser runs a statement that the owner of the database may not.
func (s *stack) superuser(sql string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.postgres.SuperURL("payaid"))
	if err == nil {
		_, err = conn.Exec(s.t.Context(), sql)
	}
	if err == nil {
		err = conn.Close(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// process starts a process of the product on the services. Later settings win.
func (s *stack) process(name string, env []string, args ...string) *process {
	s.t.Helper()
	p := newProcess(s.t, name, append(append([]string{}, s.env...), env...), args...)
	if err := p.start(); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// api starts an API process and gives a client with the admin's key.
func (s *stack) api(name string, env ...string) (*process, *client) {
	s.t.Helper()
	address := freeAddress(s.t)
	p := s.process(name, append([]string{"LISTEN=" + address}, env...), "api")
	c := newClient("http://"+address, adminKey)
	if err := c.ready(within(s.t, time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	return p, c
}

func (s *stack) relay(name string) *process {
	s.t.Helper()
	return s.process(name, nil, "relay")
}

func (s *stack) worker(name string, env ...string) *process {
	s.t.Helper()
	return s.process(name, env, "worker", "--queue", "bench:8", "--queue", "maintenance", "--queue", "ai", "--queue", "cache", "--queue", "mail", "--queue", "webhook")
}

// within is the test's context with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// freeAddress is one that a killed process finds free again: below the ports that the kernel gives to
// outgoing connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("there is no free port")
	return ""
}

// eventually asks again and again until the answer is nil or ctx ends.
func eventually(ctx context.Context, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%w; the last answer: %w", ctx.Err(), err)
		}
	}
}
