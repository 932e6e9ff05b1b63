package localstack

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBrowser is Chromium, and the script by which axe-core looks at pages, which scripts/axe.sh keeps. A test that needs
// them fails where one is missing.
func TestBrowser(tb testing.TB) (chromium, axe string) {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	chromium, err = exec.LookPath("chromium")
	if err != nil {
		tb.Fatal("find a browser: chromium is not installed: run `make testdeps`")
	}
	script, err := os.ReadFile(filepath.Join(cache, "payaid", "axe-core-4.14.1", "axe.min.js"))
	if err != nil {
		tb.Fatal("find axe-core: it is not installed: run `make testdeps`")
	}
	return chromium, string(script)
}
