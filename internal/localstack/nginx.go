package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// NginxOptions says what a private nginx is configured with, as its official image is: files, and variables for those that
// are templates.
type NginxOptions struct {
	Dir string // a new one
	// Files is a folder with nginx.conf and what it includes; templates/*.template in it become conf.d/*.
	Files string
	// Variables are put where templates have ${NAME}. StartNginx adds EDGE_HTTP, EDGE_HTTPS and EDGE_HEALTH, the addresses to
	// listen at, and EDGE_ACME, an empty folder.
	Variables map[string]string
	// More are further files by their paths beside nginx.conf, such as certificates, or conf.d/own.conf.
	More map[string]string
	// Change edits what is rendered, for a program that wants it otherwise; nil: nobody does.
	Change  func(rendered string) string
	Program string // "": the one of TestNginx's cache, or in the PATH
	Log     *slog.Logger
}

// Nginx is a private proxy.
type Nginx struct {
	*Process
	program, config, prefix string
	ports                   map[string]int
}

// StartNginx starts nginx in the foreground; its workers are unprivileged.
func StartNginx(ctx context.Context, o NginxOptions) (*Nginx, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	program, err := findNginx(o.Program)
	if err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	n := &Nginx{program: program, config: dir.join("etc/nginx.conf"), prefix: dir.path, ports: map[string]int{}}
	if err := n.configure(ctx, dir, o); err != nil {
		dir.close()
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	n.Process, err = startProcess(ctx, processOptions{
		name: "nginx",
		path: program,
		args: n.args("daemon off;"),
		// A gentle end would wait for streams.
		stopSignal: syscall.SIGTERM,
		ready:      n.ping,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// findNginx is the program named, the one that scripts/nginx.sh keeps, or that in the PATH.
func findNginx(named string) (string, error) {
	if named != "" {
		return exec.LookPath(named)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if path, err := exec.LookPath(filepath.Join(cache, "payaid", "nginx", "nginx")); err == nil {
			return path, nil
		}
	}
	if path, err := findProgram("nginx", "/usr/sbin/nginx"); err == nil {
		return path, nil
	}
	return "", errors.New("find nginx: it is not installed: run `make testdeps`")
}

// configure writes what nginx reads.
func (n *Nginx) configure(ctx context.Context, dir *workdir, o NginxOptions) error {
	acme := dir.join("acme")
	variables := map[string]string{"EDGE_ACME": acme}
	maps.Copy(variables, o.Variables)
	for _, name := range []string{"HTTP", "HTTPS", "HEALTH"} {
		port, err := dir.portOf(ctx, strings.ToLower(name)+".port", 0)
		if err != nil {
			return err
		}
		n.ports[name] = port
		variables["EDGE_"+name] = loopback(port)
	}
	if err := os.MkdirAll(acme, 0o755); err != nil {
		return err
	}
	if err := copyTree(o.Files, dir.join("etc")); err != nil {
		return err
	}
	if err := render(dir.join("etc"), variables, o.Change); err != nil {
		return err
	}
	more := map[string]string{"conf.d/paths.conf": n.paths(dir)}
	maps.Copy(more, o.More)
	for name, content := range more {
		if err := n.Put(name, content); err != nil {
			return err
		}
	}
	return nil
}

// Put writes a file by its path beside nginx.conf. It counts from the next Reload on.
func (n *Nginx) Put(name, content string) error {
	path := filepath.Join(filepath.Dir(n.config), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeAtomic(path, []byte(content), 0o600)
}

// render does what the official image's entry point does.
func render(etc string, variables map[string]string, change func(string) string) error {
	templates, err := filepath.Glob(filepath.Join(etc, "templates", "*.template"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(etc, "conf.d"), 0o755); err != nil {
		return err
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		pairs = append(pairs, "${"+name+"}", variables[name])
	}
	for _, path := range templates {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.NewReplacer(pairs...).Replace(string(raw))
		if change != nil {
			text = change(text)
		}
		target := filepath.Join(etc, "conf.d", strings.TrimSuffix(filepath.Base(path), ".template"))
		if err := writeAtomic(target, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// paths are those of folders that images have and this machine may lack.
func (n *Nginx) paths(dir *workdir) string {
	var b strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s;\n", name, dir.join(name))
	}
	return b.String()
}

func (n *Nginx) args(global string) []string {
	return []string{"-p", n.prefix, "-c", n.config, "-g", "pid " + filepath.Join(n.prefix, "nginx.pid") + "; " + global}
}

// Check has nginx look at its configuration, and gives what it says.
func (n *Nginx) Check(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, n.program, append(n.args(""), "-t")...).CombinedOutput()
	return string(out), err
}

// Reload has nginx read its configuration again.
func (n *Nginx) Reload() error { return syscall.Kill(n.Pid(), syscall.SIGHUP) }

// HTTP, HTTPS and Health are where it listens, such as 127.0.0.1:8443.
func (n *Nginx) HTTP() string { return loopback(n.ports["HTTP"]) }

// HTTPS is where it speaks TLS.
func (n *Nginx) HTTPS() string { return loopback(n.ports["HTTPS"]) }

// Health is where it says that it is there.
func (n *Nginx) Health() string { return loopback(n.ports["HEALTH"]) }

// ACME is the folder that its challenges are answered from.
func (n *Nginx) ACME() string { return filepath.Join(n.prefix, "acme") }

// Logged is all that it has written to its standard output and error.
func (n *Nginx) Logged() (string, error) {
	raw, err := os.ReadFile(filepath.Join(n.prefix, "nginx.log"))
	return string(raw), err
}

func (n *Nginx) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Health()+"/nginx-health", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("ping nginx: it answers " + strconv.Itoa(answer.StatusCode))
	}
	return nil
}
