package check

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// block is the first block of commands under a heading.
func block(t *testing.T, text, heading string) string {
	t.Helper()
	_, after, found := strings.Cut(text, "\n"+heading+"\n")
	var lines []string
	for line := range strings.Lines(after) {
		command, indented := strings.CutPrefix(line, "    ")
		if indented {
			lines = append(lines, command)
		} else if len(lines) > 0 || strings.HasPrefix(line, "#") {
			break
		}
	}
	if !found || len(lines) == 0 {
		t.Fatalf("there are no commands under %s", heading)
	}
	return strings.Join(lines, "")
}

// typed has a shell do commands as somebody who types them would, in a folder.
func typed(t *testing.T, dir, commands string, environment ...string) {
	t.Helper()
	shell := exec.Command("bash", "-e", "-O", "expand_aliases")
	shell.Dir, shell.Stdin = dir, strings.NewReader("alias dc='docker compose'\n"+commands)
	shell.Env = append(os.Environ(), environment...)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, commands, out)
	}
}
