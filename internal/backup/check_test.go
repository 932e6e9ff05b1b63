package backup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Check tells with which fault Make would end, and leaves everything as it is.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	check := func(c Config) string {
		t.Helper()
		err := newKeeper(t, c).Check(t.Context())
		var fault *Fault
		if err != nil && (!errors.As(err, &fault) || fault.Remedy == "") {
			t.Fatalf("got %v, want a fault with what to do", err)
		}
		if fault == nil {
			return ""
		}
		return fault.Code
	}
	open, none := t.TempDir(), filepath.Join(t.TempDir(), "none")
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	full := smallDisk(t, "size=64k")
	for name, tt := range map[string]struct {
		config Config
		want   string
	}{
		"well":                {Config{DatabaseURL: s.url, Dir: s.dir}, ""},
		"no folder yet":       {Config{DatabaseURL: s.url, Dir: none}, ""},
		"open to others":      {Config{DatabaseURL: s.url, Dir: open}, FolderUnusable},
		"no room":             {Config{DatabaseURL: s.url, Dir: full}, DiskFull},
		"no server":           {Config{DatabaseURL: "postgres://127.0.0.1:1/x", Dir: s.dir}, DatabaseAway},
		"no programs of ours": {Config{DatabaseURL: s.url, Dir: s.dir, Binaries: open}, ClientVersion},
	} {
		if got := check(tt.config); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	if now := s.files(t); !maps.Equal(now, s.before) {
		t.Errorf("the folder holds %v, want %v", now, s.before)
	}
}
