package localstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestPostgres is the cluster that all tests of one test binary share. It is
// started by the first that asks and stopped by RunTests; no test may kill it.
func TestPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	return sharedPostgres.get(tb, "postgres", startTestPostgres)
}

// TestRedis is the Redis that all tests of one test binary share.
func TestRedis(tb testing.TB) *Redis {
	tb.Helper()
	return sharedRedis.get(tb, "redis", startTestRedis)
}

// TestNATS is the embedded NATS server that all tests of one test binary share.
func TestNATS(tb testing.TB) *NATS {
	tb.Helper()
	return sharedNATS.get(tb, "nats", func(ctx context.Context, dir string) (*NATS, error) {
		return StartNATS(ctx, NATSOptions{Dir: dir})
	})
}

// NewPostgres is a private cluster, which the test may kill or restart.
func NewPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	return private(tb, "postgres", startTestPostgres)
}

// NewRedis is a private Redis, which the test may kill or restart.
func NewRedis(tb testing.TB) *Redis {
	tb.Helper()
	return private(tb, "redis", startTestRedis)
}

// NewNATS is a private NATS server in a process of its own, which the test may
// kill or restart.
func NewNATS(tb testing.TB) *NATSProcess {
	tb.Helper()
	return private(tb, "nats", func(ctx context.Context, dir string) (*NATSProcess, error) {
		return StartNATSProcess(ctx, NATSOptions{Dir: dir})
	})
}

// NewNATSCluster is a private cluster of three NATS servers, each of which the test may take away.
func NewNATSCluster(tb testing.TB) *NATSCluster {
	tb.Helper()
	return private(tb, "nats-cluster", func(ctx context.Context, dir string) (*NATSCluster, error) {
		return StartNATSCluster(ctx, NATSOptions{Dir: dir})
	})
}

// NewOpenDKIM is a private milter that signs, with a folder of its own; o.Dir is left empty.
func NewOpenDKIM(tb testing.TB, o OpenDKIMOptions) *OpenDKIM {
	tb.Helper()
	return private(tb, "opendkim", func(ctx context.Context, dir string) (*OpenDKIM, error) {
		o.Dir = dir
		return StartOpenDKIM(ctx, o)
	})
}

var databases atomic.Int64

// NewDatabase is the name of a new database, a copy of template where one is
// named; it is dropped, its sessions ended, when the test is over.
func (p *Postgres) NewDatabase(tb testing.TB, template string) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if err := p.CreateDatabase(tb.Context(), name, template); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), serviceStartTimeout)
		defer cancel()
		if err := p.dropDatabase(ctx, name); err != nil {
			tb.Error(err)
		}
	})
	return name
}

// TestTemplate is the shared cluster and the name of a database in it that migrate was run on, once in a
// test binary: copying it takes a fraction of the time. The schema is the caller's, as this package has none.
//
//	pg, template := localstack.TestTemplate(t, migrations.Up)
//	url := pg.URL(pg.NewDatabase(t, template))
func TestTemplate(tb testing.TB, migrate func(ctx context.Context, url string) ([]string, error)) (pg *Postgres, name string) {
	tb.Helper()
	pg = TestPostgres(tb)
	return pg, template.of(tb, pg, migrate)
}

// TestTemplateOf is TestTemplate on the cluster of TestPostgresOf.
func TestTemplateOf(tb testing.TB, major int, migrate func(ctx context.Context, url string) ([]string, error)) (pg *Postgres, name string) {
	tb.Helper()
	pg = TestPostgresOf(tb, major)
	return pg, templateOf[major].of(tb, pg, migrate)
}

const templateName = "template_migrated"

// migrated is a database that was migrated once in a test binary.
type migrated struct {
	once sync.Once
	err  error
}

var (
	template   migrated
	templateOf = map[int]*migrated{15: {}, 16: {}, 17: {}, 18: {}}
)

func (m *migrated) of(tb testing.TB, pg *Postgres, migrate func(context.Context, string) ([]string, error)) string {
	tb.Helper()
	m.once.Do(func() {
		// It outlives the test that happens to be the first.
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if m.err = pg.CreateDatabase(ctx, templateName, ""); m.err == nil {
			_, m.err = migrate(ctx, pg.URL(templateName))
		}
	})
	if m.err != nil {
		tb.Fatal(m.err)
	}
	return templateName
}

// RunTests is for TestMain: it runs the tests, stops what they shared, and
// returns the exit code.
//
//	func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }
func RunTests(m interface{ Run() int }) int {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the services of the tests:", err)
		return max(code, 1)
	}
	return code
}

func startTestPostgres(ctx context.Context, dir string) (*Postgres, error) {
	return startCopy(ctx, PostgresOptions{Dir: dir})
}

func startTestRedis(ctx context.Context, dir string) (*Redis, error) {
	return StartRedis(ctx, RedisOptions{Dir: dir})
}

type stopper interface{ Stop(context.Context) error }

// testPatience bounds a start or a stop on a machine that is busy with tests.
const testPatience = 3 * time.Minute

// shared is a service that is started once in a test binary.
type shared[T stopper] struct {
	once    sync.Once
	service T
	err     error
}

var (
	sharedPostgres shared[*Postgres]
	sharedRedis    shared[*Redis]
	sharedNATS     shared[*NATS]
)

func (s *shared[T]) get(tb testing.TB, name string, start func(context.Context, string) (T, error)) T {
	tb.Helper()
	s.once.Do(func() {
		// It outlives the test that happens to be the first.
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		var dir string
		if dir, s.err = newTestDir(name); s.err != nil {
			return
		}
		if s.service, s.err = start(ctx, dir); s.err == nil {
			tests.add(s.service)
		}
	})
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.service
}

func private[T stopper](tb testing.TB, name string, start func(context.Context, string) (T, error)) T {
	tb.Helper()
	service, err := startIn(tb, name, start)
	// A port that was free may be another program's by the time it is listened on.
	for again := 0; err != nil && again < 2 && tb.Context().Err() == nil; again++ {
		tb.Logf("started anew: %v", err)
		service, err = startIn(tb, name, start)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := service.Stop(ctx); err != nil {
			tb.Error(err)
		}
	})
	return service
}

func startIn[T stopper](tb testing.TB, name string, start func(context.Context, string) (T, error)) (T, error) {
	dir, err := newTestDir(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return start(tb.Context(), dir)
}

// tests is what one test binary has made: its folder and its shared services.
var tests testRun

type testRun struct {
	mu       sync.Mutex
	root     string
	lock     *os.File
	dirs     int
	services []stopper
}

func (t *testRun) add(s stopper) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.services = append(t.services, s)
}

// newTestDir is a new folder that other users may pass through, which those of
// testing.TB are not.
func newTestDir(name string) (string, error) {
	t := &tests
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root == "" {
		sweepTestDirs()
		root, err := os.MkdirTemp("", testDirPrefix)
		if err != nil {
			return "", err
		}
		if err := os.Chmod(root, 0o711); err != nil {
			return "", err
		}
		if t.lock, err = lockFile(filepath.Join(root, "lock"), syscall.LOCK_NB); err != nil {
			return "", err
		}
		t.root = root
	}
	t.dirs++
	dir := filepath.Join(t.root, name+"-"+strconv.Itoa(t.dirs))
	return dir, os.Mkdir(dir, 0o711)
}

const testDirPrefix = "payaid-test-"

// sweepTestDirs removes what test binaries left that had no chance to.
func sweepTestDirs() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), testDirPrefix+"*"))
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < 10*time.Minute {
			continue // perhaps being made right now
		}
		lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_NB)
		if err != nil {
			continue
		}
		os.RemoveAll(dir)
		unlock(lock)
	}
}

func stopShared() error {
	t := &tests
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	var all []error
	for _, s := range t.services {
		all = append(all, s.Stop(ctx))
	}
	t.services = nil
	if t.root != "" {
		all = append(all, os.RemoveAll(t.root))
		unlock(t.lock)
		t.root = ""
	}
	return errors.Join(all...)
}
