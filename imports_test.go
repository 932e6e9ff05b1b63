package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/payaid/payaid"

// dependencies gives every package of the module with all that it depends on, tests left out.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	deps := make(map[string][]string)
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		deps[fields[0]] = fields[1:]
	}
	if len(deps) < 10 {
		t.Fatalf("only %d packages were listed", len(deps))
	}
	return deps
}

// TestImports holds the packages to the direction in which they may depend on each other.
func TestImports(t *testing.T) {
	t.Parallel()
	deps := dependencies(t)
	standard := regexp.MustCompile(`^[a-z0-9]+(/|$)`)
	dotted := regexp.MustCompile(`^[^/]*\.`)
	foreign := func(d string) bool { return dotted.MatchString(d) || !standard.MatchString(d) }
	rules := []struct {
		of     string // the package, or a prefix that ends in /
		never  func(dep string) bool
		reason string
	}{
		{module + "/events", foreign, "everyone imports it, so it depends on the standard library alone"},
		{module + "/internal/gst", foreign, "everyone imports it, so it depends on the standard library alone"},
		{module + "/internal/rupees", foreign, "jobs and commands write amounts by it, so it depends on the standard library alone"},
		{module + "/api", oneOf(module+"/jobs", module+"/workers", "github.com/ollama/", "github.com/emersion/go-smtp"),
			"it states facts and orders no work"},
		{module + "/admin", oneOf(module+"/jobs", module+"/workers", module+"/internal/cli"),
			"its pages can do what the admin's API can, and nothing else"},
		{module + "/operator", foreign, "whoever writes a client of the admin's API gets nothing else with it"},
		{module + "/admin", oneOf(module+"/jobs", module+"/workers"), "its pages can do nothing that the API can't"},
		{module + "/papers", oneOf(module+"/api", module+"/jobs", module+"/workers", "github.com/emersion/go-smtp"),
			"API and jobs hand out what it draws"},
		{module + "/jobs", oneOf(module+"/api", module+"/workers", "github.com/nats-io/"),
			"a job is testable without API and broker"},
	}
	for _, rule := range rules {
		list, ok := deps[rule.of]
		if !ok {
			t.Errorf("there is no package %s", rule.of)
		}
		for _, d := range list {
			if rule.never(d) {
				t.Errorf("%s depends on %s: %s", rule.of, d, rule.reason)
			}
		}
	}
}

func oneOf(prefixes ...string) func(string) bool {
	return func(dep string) bool {
		for _, p := range prefixes {
			if dep == strings.TrimSuffix(p, "/") || strings.HasPrefix(dep, strings.TrimSuffix(p, "/")+"/") {
				return true
			}
		}
		return false
	}
}

// TestInternalPackagesAreIndependent: an effect knows no other effect, and nothing above it. Logs, the rules
// of the tax and how money is written are everyone's.
func TestInternalPackagesAreIndependent(t *testing.T) {
	t.Parallel()
	internal := regexp.MustCompile(`^` + module + `/internal/([^/]+)`)
	everyones := map[string]bool{"telemetry": true, "gst": true, "rupees": true}
	for of, list := range dependencies(t) {
		mine := internal.FindStringSubmatch(of)
		if mine == nil || mine[1] == "cli" {
			continue
		}
		above := oneOf(module+"/api", module+"/jobs", module+"/workers")
		for _, d := range list {
			other := internal.FindStringSubmatch(d)
			if above(d) || other != nil && other[1] != mine[1] && !everyones[other[1]] {
				t.Errorf("%s depends on %s", of, d)
			}
		}
	}
}

// TestLocalstackStaysAtTheEdge: only the commands start private servers; other processes stay lean.
func TestLocalstackStaysAtTheEdge(t *testing.T) {
	t.Parallel()
	for of, list := range dependencies(t) {
		if of == module || strings.HasPrefix(of, module+"/internal/cli") || strings.HasPrefix(of, module+"/internal/localstack") {
			continue
		}
		for _, d := range list {
			if d == module+"/internal/localstack" {
				t.Errorf("%s depends on %s", of, d)
			}
		}
	}
}

// TestTheWayToACollectorStaysAtTheEdge: everybody makes spans, the commands alone know where they go. gRPC, which the
// usual exporters bring along, goes nowhere.
func TestTheWayToACollectorStaysAtTheEdge(t *testing.T) {
	t.Parallel()
	for of, list := range dependencies(t) {
		edge := of == module || strings.HasPrefix(of, module+"/internal/cli") || of == module+"/internal/telemetry/otlp"
		for _, d := range list {
			if !edge && (d == module+"/internal/telemetry/otlp" || strings.HasPrefix(d, "go.opentelemetry.io/otel/sdk")) {
				t.Errorf("%s depends on %s", of, d)
			}
			if strings.HasPrefix(d, "google.golang.org/grpc") {
				t.Errorf("%s depends on %s", of, d)
			}
		}
	}
}

// TestEnvironmentIsReadInOnePlace: configuration can't leak in anywhere else. The one exception says
// whether tests run in CI.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	t.Parallel()
	reads := regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ|ExpandEnv)\(`)
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if strings.HasPrefix(path, "internal/cli/") || path == "internal/localstack/testing_ollama.go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := reads.Find(source); m != nil {
			t.Errorf("%s reads the environment by %s…)", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFilesStaySmall: a file of more than 400 lines holds a second idea.
func TestFilesStaySmall(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if n := bytes.Count(source, []byte("\n")); n > 400 {
			t.Errorf("%s has %d lines", path, n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
