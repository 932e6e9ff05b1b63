package localstack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAMissingServerSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := StartRedis(t.Context(), RedisOptions{Dir: testDir(t)}); err == nil ||
		!strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("without redis-server: %v", err)
	}
	if _, err := choosePostgres(nil, 0); err == nil || !strings.Contains(err.Error(), "apt-get install postgresql`") {
		t.Errorf("without postgres: %v", err)
	}
	if err := PostfixMissing(); err == nil || !strings.Contains(err.Error(), "apt-get install dovecot-core`") {
		t.Errorf("without dovecot: %v", err)
	}
}

func TestTheServerIsOfTheVersionThatWroteTheData(t *testing.T) {
	t.Parallel()
	installed := []pgBinaries{{major: 17}, {major: 15}}
	for major, want := range map[int]int{0: 17, 15: 15, 17: 17} {
		got, err := choosePostgres(installed, major)
		if err != nil || got.major != want {
			t.Errorf("for data of %d: %d, %v, want %d", major, got.major, err, want)
		}
	}
	if _, err := choosePostgres(installed, 16); err == nil || !containsAll(err.Error(), "Postgres 16 ", "Postgres 17, 15") {
		t.Errorf("for data of 16: %v", err)
	}
}

// recorder is a test that notes how it would have ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.ended = "fatal: " + fmt.Sprint(args...) }
func (r *recorder) Skip(args ...any)  { r.ended = "skip: " + fmt.Sprint(args...) }

func TestAMissingOllamaFailsInCIAndSkipsElsewhere(t *testing.T) {
	cache := t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("PATH", cache)
	t.Setenv("XDG_CACHE_HOME", cache)
	for ci, want := range map[string]string{"true": "fatal: ", "1": "fatal: ", "false": "skip: ", "": "skip: "} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		requireOllama(r)
		if !strings.HasPrefix(r.ended, want) || !strings.Contains(r.ended, "make ollama") {
			t.Errorf("with CI=%q it ends as %q", ci, r.ended)
		}
	}
	built := filepath.Join(cache, "payaid", "ollama-"+OllamaVersion, "ollama")
	if err := os.MkdirAll(filepath.Dir(built), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(built, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := FindOllama(); got != built {
		t.Errorf("found %s, %v, want %s", got, err, built)
	}
}
