package localstack

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NewNginx is a private proxy, which the test may kill or restart; o.Dir is left empty. Where nginx is missing the test
// fails in CI, and is skipped elsewhere.
func NewNginx(tb testing.TB, o NginxOptions) *Nginx {
	tb.Helper()
	requireNginx(tb, o.Program)
	return private(tb, "nginx", func(ctx context.Context, dir string) (*Nginx, error) {
		o.Dir = dir
		return StartNginx(ctx, o)
	})
}

// OldNginx is the path of Debian's own nginx, 1.22 or newer, where scripts/nginx.sh keeps it.
func OldNginx(tb testing.TB) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(cache, "payaid", "nginx-old", "nginx")
	requireNginx(tb, path)
	return path
}

func requireNginx(tb testing.TB, program string) {
	tb.Helper()
	path, err := findNginx(program)
	if err == nil {
		err = exec.CommandContext(tb.Context(), path, "-v").Run()
	}
	switch {
	case err == nil:
	case insideCI():
		tb.Fatal(err, ": run `make testdeps`")
	default:
		tb.Skip(err, ": run `make testdeps`")
	}
}
