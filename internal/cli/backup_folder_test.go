package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A worker that is to make backups and can't says so when it starts, with what to do; one that makes none has no say.
func TestWorkerLooksAtTheFolderOfBackups(t *testing.T) {
	t.Parallel()
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, others := filepath.Join(t.TempDir(), "a", "backups"), filepath.Join(t.TempDir(), "backups")
	for _, c := range []struct{ what, dir, queue, says string }{
		{"an unusable one", open, "maintenance", "chmod 700 " + open},
		{"a new one", fresh, "maintenance", ""},
		{"none", "", "maintenance", ""},
		{"that of others", others, "mail", ""},
	} {
		var log logLines
		w := workerSetup{queues: map[string]int{c.queue: 1}, backups: usualBackups().check(&problems{}).in(c.dir)}
		w.prepareBackups(slog.New(slog.NewTextHandler(&log, nil)))
		if got := log.String(); (got == "") != (c.says == "") || !strings.Contains(got, c.says) || c.says != "" && !strings.Contains(got, "level=WARN") {
			t.Errorf("%s: it says %q, want %q", c.what, got, c.says)
		}
	}
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a folder", info, err)
	}
	if _, err := os.Stat(others); err == nil {
		t.Error("a worker that makes no backups has made a folder for them")
	}
}
