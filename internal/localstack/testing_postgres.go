package localstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// PostgresMajors are the versions of Postgres that the product is for; TestPostgresOf has each.
func PostgresMajors() []int { return []int{15, 16, 17, 18} }

var postgresOf = map[int]*shared[*Postgres]{15: {}, 16: {}, 17: {}, 18: {}}

// TestPostgresOf is a cluster of the given major version that all tests of one test binary share, with the
// extensions of contrib; no test may kill it. The servers that aren't installed are those of scripts/postgres.sh.
// Where one is missing the test fails in CI, and is skipped elsewhere.
func TestPostgresOf(tb testing.TB, major int) *Postgres {
	tb.Helper()
	binaries := requirePostgres(tb, major)
	return postgresOf[major].get(tb, fmt.Sprintf("postgres%d", major), func(ctx context.Context, dir string) (*Postgres, error) {
		return startPostgresOf(ctx, binaries, dir)
	})
}

// NewPostgresOf is a private cluster of the given major version, which the test may kill or restart.
func NewPostgresOf(tb testing.TB, major int) *Postgres {
	tb.Helper()
	binaries := requirePostgres(tb, major)
	return private(tb, fmt.Sprintf("postgres%d", major), func(ctx context.Context, dir string) (*Postgres, error) {
		return startPostgresOf(ctx, binaries, dir)
	})
}

func requirePostgres(tb testing.TB, major int) pgBinaries {
	tb.Helper()
	b, err := findPostgresOf(tb.Context(), major)
	switch {
	case err == nil:
	case insideCI():
		tb.Fatal(err)
	default:
		tb.Skip(err)
	}
	return b
}

// findPostgresOf looks for a server of that version among those installed, then in the cache.
func findPostgresOf(ctx context.Context, major int) (pgBinaries, error) {
	if b, err := choosePostgres(installedPostgres(ctx), major); err == nil {
		return b, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return pgBinaries{}, err
	}
	b, err := inspectPostgres(ctx, filepath.Join(cache, "payaid", fmt.Sprintf("postgres-%d", major), "bin"))
	if err != nil || b.major != major {
		return b, fmt.Errorf("find Postgres %d: it is not installed: run scripts/postgres.sh, which fetches it once", major)
	}
	return b, nil
}

// startPostgresOf starts a server of which the cache may have the only copy. The user that it runs as can't get
// there where the cache is root's, so it is made to run from the test's folder.
func startPostgresOf(ctx context.Context, b pgBinaries, dir string) (*Postgres, error) {
	as, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	binaries := b.dir
	if as != nil && !canEnter(b.dir, as) {
		home, err := filepath.EvalSymlinks(filepath.Dir(b.dir))
		if err != nil {
			return nil, err
		}
		if err := linkServer(home, filepath.Join(dir, "server")); err != nil {
			return nil, fmt.Errorf("lay out Postgres %d: %w", b.major, err)
		}
		binaries = filepath.Join(dir, "server", "bin")
	}
	return startCopy(ctx, PostgresOptions{Dir: dir, Binaries: binaries})
}

// linkServer is linkTree for a tree with symbolic links in it, which stay what they are.
func linkServer(from, to string) error {
	return walkTree(from, to, func(path, target string, mode os.FileMode) error {
		if link, err := os.Readlink(path); err == nil {
			return os.Symlink(link, target)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target, mode)
	})
}

// startCopy starts a server on a copy of the template cluster.
func startCopy(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if err := copyTemplateCluster(ctx, o); err != nil {
		return nil, err
	}
	return StartPostgres(ctx, o)
}
