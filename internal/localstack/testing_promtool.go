package localstack

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPromtool is the program that checks and tests the rules of Prometheus, in the PATH or where
// scripts/promtool.sh keeps it. Where it is missing the test fails in CI, and is skipped elsewhere.
func TestPromtool(tb testing.TB) string {
	tb.Helper()
	path, err := findPromtool()
	switch {
	case err == nil:
	case insideCI():
		tb.Fatal(err)
	default:
		tb.Skip(err)
	}
	return path
}

func findPromtool() (string, error) {
	candidates := []string{"promtool"}
	if cache, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(cache, "payaid", "promtool", "promtool"))
	}
	for _, path := range candidates {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New("find promtool: it is not installed: run `make testdeps`")
}
