package check

import (
	"bytes"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// starts runs the product as what is deployed would, and waits until it reaches for its database: by then it has taken all
// that it was given. What listens does so at a port of its own.
func starts(t *testing.T, args []string, environment map[string]string) {
	t.Helper()
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	reached := make(chan error, 1)
	go func() {
		// It is left open, without an answer: nobody goes on behind the test's back.
		_, err := database.Accept()
		reached <- err
	}()
	environment = maps.Clone(environment)
	environment["DATABASE_URL_FILE"] = at(t, environment["DATABASE_URL_FILE"], database.Addr())
	for _, name := range []string{"METRICS_LISTEN", "LISTEN"} {
		if environment[name] != "" {
			environment[name] = "127.0.0.1:0"
		}
	}
	process := exec.Command(payaid(t), args...)
	for name, value := range environment {
		process.Env = append(process.Env, name+"="+value)
	}
	var said bytes.Buffer
	process.Stdout, process.Stderr = &said, &said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err = <-reached:
	case err = <-ended:
		t.Errorf("payaid %s ended (%v):\n%s", strings.Join(args, " "), err, &said)
		return
	case <-time.After(2 * time.Minute):
		t.Errorf("payaid %s asks nothing of its database", strings.Join(args, " "))
	}
	if err != nil {
		t.Error(err)
	}
	_ = process.Process.Kill()
	<-ended
}

// at is a file like the one of an address, with another server in it.
func at(t *testing.T, path string, server net.Addr) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = server.String()
	dir := t.TempDir()
	keep(t, dir, "database_url", u.String()+"\n")
	return filepath.Join(dir, "database_url")
}

// Every process takes all that its container gives it, with what init.sh makes.
func TestComposeProcessesStart(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.must(t, domainFlags...)
	for name, s := range ours(loaded(t, filepath.Join(string(i), ".env"))) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := make(map[string]string)
			for variable, v := range s.Environment {
				environment[variable] = *v
				for path, folder := range map[string]string{"/run/secrets/": "secrets/", "/run/certificates/": "secrets/certificates/"} {
					if file, ok := strings.CutPrefix(*v, path); ok {
						environment[variable] = filepath.Join(string(i), folder, file)
					}
				}
			}
			starts(t, s.Command, environment)
		})
	}
}
