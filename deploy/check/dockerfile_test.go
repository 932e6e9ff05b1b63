package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stages are those of the Dockerfile, read and looked over as `docker build --check` does.
func stages(t *testing.T) map[string]instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(readDeploy(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		t.Errorf("Dockerfile: %s: %s", rule, message)
	}})
	list, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	if last := list[len(list)-1].Name; last != "payaid" {
		t.Errorf("the image that is built by default is %s", last)
	}
	found := make(map[string]instructions.Stage)
	for _, s := range list {
		found[s.Name] = s
	}
	return found
}

// commands are the instructions of one kind, as they stand there.
func commands[T instructions.Command](s instructions.Stage) (list []T) {
	for _, c := range s.Commands {
		if one, ok := c.(T); ok {
			list = append(list, one)
		}
	}
	return list
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	found := stages(t)
	for _, name := range []string{"payaid", "backup"} {
		s, ok := found[name]
		if !ok {
			t.Fatalf("there is no target %s", name)
		}
		if users := commands[*instructions.UserCommand](s); len(users) != 1 || users[0].User != "65532:65532" {
			t.Errorf("%s runs as %v", name, users)
		}
		if e := commands[*instructions.EntrypointCommand](s); len(e) != 1 || e[0].PrependShell || !slices.Equal(e[0].CmdLine, []string{"/usr/local/bin/payaid"}) {
			t.Errorf("%s: a signal would not reach the program: %v", name, e)
		}
		if h := commands[*instructions.HealthCheckCommand](s); len(h) != 1 || !slices.Equal(h[0].Health.Test, []string{"CMD", "/usr/local/bin/payaid", "healthcheck"}) {
			t.Errorf("%s: health is %v", name, h)
		}
		for _, c := range commands[*instructions.CopyCommand](s) {
			if c.From != "build" {
				t.Errorf("%s: %s is not from the stage that builds", name, c)
			}
		}
	}
	if base := found["payaid"].BaseName; base != "scratch" {
		t.Errorf("payaid is made from %s", base)
	}
	if run := commands[*instructions.RunCommand](found["payaid"]); len(run) > 0 {
		t.Errorf("payaid runs %v, and has nothing to run it with", run)
	}
	for name, s := range found {
		if add := commands[*instructions.AddCommand](s); len(add) > 0 {
			t.Errorf("%s fetches what nobody has looked at: %v", name, add)
		}
		for _, run := range commands[*instructions.RunCommand](s) {
			if strings.Contains(run.String(), "--mount") {
				t.Errorf("%s: %s needs BuildKit", name, run)
			}
		}
	}
}

// The program is static, knows the time zones, and says the version that it was built as.
func TestDockerfileBuild(t *testing.T) {
	t.Parallel()
	text := readDeploy(t, "Dockerfile")
	for _, part := range []string{"CGO_ENABLED=0", "-tags timetzdata", "-trimpath", "ca-certificates.crt"} {
		if !strings.Contains(text, part) {
			t.Errorf("the Dockerfile doesn't say %s", part)
		}
	}
	version := regexp.MustCompile(`-X ([a-z./]+)\.([a-z]+)=\$\{VERSION\}`).FindStringSubmatch(text)
	if version == nil {
		t.Fatal("the Dockerfile stamps no version")
	}
	dir := strings.TrimPrefix(version[1], "github.com/payaid/payaid/")
	out, err := exec.Command("grep", "-rhE", "^var "+version[2]+" string$", filepath.Join(root, dir)).Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		t.Errorf("there is no variable %s in %s that the version could be stamped into", version[2], dir)
	}
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if !strings.Contains(text, "golang:"+string(language[1])+"-") {
		t.Errorf("the Dockerfile builds by another Go than %s", language[1])
	}
	postgres := regexp.MustCompile(`ARG POSTGRES_IMAGE=(.*)`).FindStringSubmatch(text)
	if server := loaded(t, "").Services["postgres"].Image; postgres == nil || postgres[1] != server {
		t.Errorf("pg_dump is from %v, and the server is %s", postgres, server)
	}
}

// Docker is handed all that the program is built of, and neither secrets nor history.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	file, err := os.Open(root + "/.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	leftOut := func(path string) bool {
		t.Helper()
		out, err := ignored.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	list := exec.Command("go", "list", "-deps", "-f",
		`{{if .Module}}{{if .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, ".")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 500 {
		t.Fatalf("the program is built of %d files", len(files))
	}
	for _, path := range append(files, mustAbs(t, root+"/go.mod"), mustAbs(t, root+"/go.sum")) {
		path, err := filepath.Rel(mustAbs(t, root), path)
		if err != nil {
			t.Fatal(err)
		}
		if leftOut(path) {
			t.Errorf("%s is not handed to Docker", path)
		}
	}
	for _, path := range []string{".git/config", "deploy/.env", "deploy/secrets/admin_key", "deploy/compose.yaml", "bin/payaid", "api/server_test.go", ".env"} {
		if !leftOut(path) {
			t.Errorf("%s is handed to Docker", path)
		}
	}
}
