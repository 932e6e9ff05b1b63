package localstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATSProcess is a NATS server as a process of its own, for tests that kill it.
type NATSProcess struct {
	*Process
	url string
}

// StartNATSProcess builds the nats-server that go.mod names, once, and starts it
// with a configuration file that syncs every write. It needs the go command, and
// to be called from within this module, as a test is.
func StartNATSProcess(ctx context.Context, o NATSOptions) (*NATSProcess, error) {
	if err := checkNATSVersion(server.VERSION); err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	binary, err := buildNATSServer(ctx)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	n, err := configureNATS(ctx, dir, o.Port)
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("start nats: %w", err)
	}
	n.Process, err = startProcess(ctx, processOptions{
		name:       "nats",
		path:       binary,
		args:       []string{"-c", dir.join("nats.conf")},
		stopSignal: syscall.SIGTERM,
		ready:      n.connect,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// URL is the server's address with user and password.
func (n *NATSProcess) URL() string { return n.url }

func configureNATS(ctx context.Context, dir *workdir, asked int) (*NATSProcess, error) {
	port, err := dir.port(ctx, asked)
	if err != nil {
		return nil, err
	}
	password, err := dir.secret("password")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`server_name: payaid-local
listen: %q
authorization { user: %q, password: %q }
jetstream { store_dir: %q, sync_interval: always }
`, loopback(port), natsUser, password, dir.path)
	if err := writeAtomic(dir.join("nats.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return &NATSProcess{url: natsURL(port, password)}, nil
}

// connect is nil when the server takes connections, which it does after it has
// recovered its streams.
func (n *NATSProcess) connect(context.Context) error {
	conn, err := nats.Connect(n.url, nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

// buildNATSServer links the server once for each version and keeps it.
func buildNATSServer(ctx context.Context) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, "nats-server-"+server.VERSION)
	lock, err := lockFile(binary+".lock", 0)
	if err != nil {
		return "", err
	}
	defer unlock(lock)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	defer os.Remove(binary + ".new")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", binary+".new",
		"github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return binary, os.Rename(binary+".new", binary)
}

// cacheDir holds what is dear to make and the same for every checkout.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "payaid")
	return dir, os.MkdirAll(dir, 0o755)
}
