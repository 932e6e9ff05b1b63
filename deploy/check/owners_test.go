package check

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user of this machine who isn't root.
const nobody = 65534

// byNobody gives the folder to that user, and runs scripts of it as them, with a docker that takes everything and leaves a
// mark.
func (i installation) byNobody(t *testing.T) (script func(name string, args ...string) (string, error), mark string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	bin := t.TempDir()
	mark = filepath.Join(bin, "asked")
	for path, text := range map[string]string{
		filepath.Join(bin, "docker"):          "#!/bin/sh\ncat >'" + mark + "'\n",
		filepath.Join(string(i), "rotate.sh"): readDeploy(t, "rotate.sh"),
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(string(i)), 0o755); err != nil { // of the test alone, and on the way
		t.Fatal(err)
	}
	for _, dir := range []string{string(i), bin} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = os.Chown(path, nobody, nobody)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return func(name string, args ...string) (string, error) {
		cmd := exec.Command("./"+name, args...)
		cmd.Dir = string(i)
		cmd.Env = append(os.Environ(), "HOME="+bin, "PATH="+bin+":"+os.Getenv("PATH"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}, mark
}

// put gives a file to a user.
func (i installation) put(t *testing.T, name string, mode fs.FileMode, user int) {
	t.Helper()
	path := filepath.Join(string(i), name)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, user, user); err != nil {
		t.Fatal(err)
	}
}

// Who isn't root prepares the folder, prepares it again when containers have made files of their own there, and rotates.
func TestScriptsByOthersThanRoot(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	script, mark := i.byNobody(t)
	if out, err := script("init.sh", append(domainFlags, "--tls", "acme")...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// certbot's pair is for its user alone, and the mail server keeps to itself what it makes.
	i.put(t, "secrets/certificates/fullchain.pem", 0o600, 101)
	i.put(t, "secrets/certificates/privkey.pem", 0o600, 101)
	if err := os.Mkdir(filepath.Join(string(i), "secrets/mail/rspamd/own"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := i.state(t)
	if out, err := script("init.sh"); err != nil || !strings.Contains(out, "nothing was changed") || !maps.Equal(before, i.state(t)) {
		t.Errorf("again: %v\n%s", err, out)
	}
	const file = "secrets/database_owner_url"
	for _, mode := range []fs.FileMode{0o644, 0o444} { // the other is that of earlier installations
		i.put(t, file, mode, nobody)
		last := i.read(t, file)
		if out, err := script("rotate.sh", "postgres_owner"); err != nil || i.read(t, file) == last {
			t.Errorf("rotate, mode %o: %v\n%s", mode, err, out)
		}
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	i.put(t, file, 0o600, 0)
	if out, err := script("rotate.sh", "postgres_owner"); err == nil || !strings.Contains(out, "is not yours to change") {
		t.Errorf("a file of root's: %v\n%s", err, out)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("Postgres was told of a password that nobody could write down")
	}
}
