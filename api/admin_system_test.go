package api

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/operator"
)

// What the pages read of the installation's figures is there under those names.
func TestSystemShapesAreThoseOfTheAnswers(t *testing.T) {
	t.Parallel()
	g, r := counted(t, nil, "one", func(c *Config) {
		c.Checks = append(c.Checks, Check{Name: "redis", Probe: func(context.Context) (string, error) { return "", nil }})
	})
	r.Job(minutes.Job{Queue: "ai", Outcome: "lost", Took: -1})
	leftOut := []string{".uptime_seconds", ".rate_limit"} // in the first second; where nothing is limited
	for path, shape := range map[string]any{"/api/system/metrics": &operator.SystemMetrics{}, "/api/system/health": &operator.SystemHealth{}} {
		body := g.call(t, testAdminKey, http.MethodGet, path, "").want(http.StatusOK).body
		if err := json.Unmarshal(body, shape); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		again, err := json.Marshal(shape)
		if err != nil {
			t.Fatal(err)
		}
		answered, read := pathsOf(t, body), pathsOf(t, again)
		for _, field := range read {
			if !slices.Contains(answered, field) && !slices.Contains(leftOut, field) {
				t.Errorf("%s has no %s", path, field)
			}
		}
	}
}

// pathsOf gives the paths of all fields; elements of lists are alike.
func pathsOf(t *testing.T, body []byte) (paths []string) {
	t.Helper()
	var whole any
	if err := json.Unmarshal(body, &whole); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, part := range v {
				paths = append(paths, at+"."+key)
				walk(at+"."+key, part)
			}
		case []any:
			for _, part := range v {
				walk(at+"[]", part)
			}
		}
	}
	walk("", whole)
	slices.Sort(paths)
	return slices.Compact(paths)
}

var listens = regexp.MustCompile(`\{\{live "([^"]*)"`)

// A page that listens for what nobody sends would never be fetched again.
func TestWhatPagesListenForIsSent(t *testing.T) {
	t.Parallel()
	sent := slices.Clone(jobNews)
	sent = append(sent, "system") // with each look
	for _, what := range newsOf {
		sent = append(sent, what...)
	}
	files, err := filepath.Glob("../admin/templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	asked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range listens.FindAllStringSubmatch(string(text), -1) {
			for _, what := range strings.Fields(found[1]) {
				asked++
				if !slices.Contains(sent, what) {
					t.Errorf("%s listens for %s, which nobody sends", filepath.Base(file), what)
				}
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d are asked for; is the pattern right?", asked)
	}
}

// A table that isn't there changes nothing.
func TestNewsAreOfTablesThatThereAre(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for table := range newsOf {
		var there bool
		err := g.system.Pool().QueryRow(t.Context(), `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there)
		if err != nil || !there {
			t.Errorf("there is no table %s (%v)", table, err)
		}
	}
}

// The figures of the installation differ with each look.
func TestEachLookTellsOfTheSystem(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.newsLook = 100 * time.Millisecond
	hears(t, g.newsOf(t, testAdminKey), "system")
}
