package check

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// root is the folder of the product.
const root = "../.."

// built is the product, built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "payaid-check")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", dir, ".") // as make build does, so that both share what is compiled
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the product: %w\n%s", err, out)
	}
	return filepath.Join(dir, "payaid"), nil
})

func TestMain(m *testing.M) {
	if state := os.Getenv(standsIn); state != "" {
		os.Exit(standIn(state, os.Args[1:]))
	}
	code := m.Run()
	if binary, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// payaid is the path of the product.
func payaid(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// help is what a command says of itself, on one line.
func help(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(payaid(t), slices.Concat(command, []string{"--help"})...).Output()
	if err != nil {
		t.Fatalf("payaid %v --help: %v", command, err)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// settings are the variables that a command reads, with their defaults.
func settings(t *testing.T, command ...string) map[string]string {
	t.Helper()
	out, err := exec.Command(payaid(t), slices.Concat(command, []string{"--help"})...).Output()
	if err != nil {
		t.Fatalf("payaid %v --help: %v", command, err)
	}
	text := string(out)
	found := make(map[string]string)
	variable := regexp.MustCompile(`\(\$([A-Z0-9_]+)\)`)
	flag := regexp.MustCompile(`(?m)^ +--[a-z0-9-]+(?:="([^"]*)")?`)
	starts := flag.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if name := variable.FindStringSubmatch(text[at[0]:end]); name != nil {
			value := ""
			if at[2] >= 0 {
				value = text[at[2]:at[3]]
			}
			found[name[1]] = value
		}
	}
	if len(found) == 0 {
		t.Fatalf("payaid %v --help lists no settings", command)
	}
	return found
}

// isSetting reports whether a command reads a variable, or the file that it names.
func isSetting(t *testing.T, name string, command ...string) bool {
	t.Helper()
	known := settings(t, command...)
	_, ok := known[name]
	_, inFile := known[strings.TrimSuffix(name, "_FILE")]
	return ok || inFile
}

// queues are the product's.
func queues(t *testing.T) []string {
	t.Helper()
	list := regexp.MustCompile(`unless told otherwise: ([^.]*)\.`).FindStringSubmatch(help(t, "worker"))
	if list == nil {
		t.Fatal("payaid worker --help lists no queues")
	}
	var names []string
	for one := range strings.SplitSeq(list[1], ", ") {
		name, _, _ := strings.Cut(one, " ")
		names = append(names, name)
	}
	return names
}

// stopGrace is how long jobs may go on after a worker is told to stop, unless the environment says otherwise.
func stopGrace(t *testing.T, environment map[string]string) time.Duration {
	t.Helper()
	value := cmp.Or(environment["STOP_GRACE"], settings(t, "worker")["STOP_GRACE"])
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Fatalf("STOP_GRACE: %v", err)
	}
	return d
}
