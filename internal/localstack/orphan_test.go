package localstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A parent that is killed takes its children with it, and a start right after
// finds the data as the last commit left it.
func TestStartAfterTheParentWasKilled(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	if err := copyTemplateCluster(t.Context(), PostgresOptions{Dir: filepath.Join(dir, "postgres")}); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asParent+"="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pgPid, redisPid int
	var pgURL, redisURL string
	if _, err := fmt.Fscan(bufio.NewReader(out), &pgPid, &redisPid, &pgURL, &redisURL); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()

	pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop(context.Background())
	connect(t, pgURL)
	r, err := StartRedis(t.Context(), RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop(context.Background())
	if r.URL() != redisURL {
		t.Errorf("redis is at %s now, and was at %s", r.URL(), redisURL)
	}
	for _, pid := range []int{pgPid, redisPid} {
		waitGone(t, pid)
	}
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := poll(ctx, func(context.Context) error {
		if cmdline(pid) != nil {
			return errors.New("still there: " + strconv.Itoa(pid))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A postmaster that lives on, as where the kernel has no parent-death signal, is
// stopped in order before another one touches its data.
func TestPostgresStopsAnOrphan(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	pg, err := startTestPostgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, pg.SuperURL("postgres"))
	execSQL(t, conn, `CREATE TABLE t AS SELECT 1 AS n`)
	conn.Close(t.Context())
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command(pg.o.path, pg.o.args...)
	orphan.Env, orphan.Dir = childEnv, "/"
	orphan.SysProcAttr = &syscall.SysProcAttr{Credential: pg.o.credential, Setpgid: true}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { orphan.Process.Signal(syscall.SIGQUIT) })
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}

	next, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Stop(context.Background())
	if err := <-ended; err != nil {
		t.Errorf("the orphan did not end in order: %v", err)
	}
	if n := one[int](t, connect(t, next.SuperURL("postgres")), `SELECT n FROM t`); n != 1 {
		t.Errorf("n = %d, want 1", n)
	}
}

// After a restart of a container the pid of the last postmaster often belongs to
// someone else, who must be left alone.
func TestPostgresIgnoresAStrangersPid(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	if err := copyTemplateCluster(t.Context(), PostgresOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("/bin/sleep", "600")
	as, err := unprivileged("postgres", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	stranger.SysProcAttr = childAttr(syscall.SIGKILL, as)
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	lock := fmt.Sprintf("%d\n%s/data\n1700000000\n5432\n\n127.0.0.1\n", stranger.Process.Pid, dir)
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop(context.Background())
	if err := syscall.Kill(stranger.Process.Pid, 0); err != nil {
		t.Errorf("the stranger was hit: %v", err)
	}
}

// A child that can't start says why, in its own words, and leaves nothing behind.
func TestPostgresThatEndsAtOnceSaysWhy(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	if err := copyTemplateCluster(t.Context(), PostgresOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	o := PostgresOptions{Dir: dir, Settings: map[string]string{"shared_buffers": "much"}}
	_, err := StartPostgres(t.Context(), o)
	if err == nil || !containsAll(err.Error(), "start postgres", "shared_buffers", "much") {
		t.Errorf("started with a setting that is none: %v", err)
	}
	pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatalf("the folder is not free after a start that went wrong: %v", err)
	}
	defer pg.Stop(context.Background())
	connect(t, pg.URL("postgres"))
}
