package localstack

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestVerifier is Node.js, and where it finds the verifier of Standard Webhooks (NODE_PATH) that scripts/webhooks.sh keeps.
// Where one is missing the test fails in CI, and is skipped elsewhere.
func TestVerifier(tb testing.TB) (node, modules string) {
	tb.Helper()
	node, modules, err := findVerifier()
	switch {
	case err == nil:
	case insideCI():
		tb.Fatal(err)
	default:
		tb.Skip(err)
	}
	return node, modules
}

func findVerifier() (node, modules string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	modules = filepath.Join(cache, "payaid", "standardwebhooks-1.1.1", "node_modules")
	node, err = exec.LookPath("node")
	if _, missing := os.Stat(modules); err != nil || missing != nil {
		return "", "", errors.New("find the verifier of webhooks: it is not installed: run `make testdeps`")
	}
	return node, modules, nil
}
