package localstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ports are taken from below the range that the kernel gives to outgoing
// connections, so that none of those sits on a service's port while it restarts.
const (
	firstPort = 20000
	lastPort  = 31999
)

// A child's log file over this size is put aside.
const maxLogSize = 16 << 20

// workdir is a service's own folder. One process holds it at a time, which is
// what makes it safe to stop an orphan that is found in it.
type workdir struct {
	path string
	lock *os.File
	log  *slog.Logger
}

// openWorkdir makes the folder where it is missing and takes it. Others may pass
// through it, because Postgres runs as another user when we are root; what is
// secret in it has a mode of its own.
func openWorkdir(path string, log *slog.Logger) (*workdir, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if path == "" {
		return nil, errors.New("open the service's folder: none was given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o711); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(path, "lock"), syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(filepath.Join(path, "lock"))
		return nil, fmt.Errorf("%s is in use by process %s: stop that one, or choose another folder",
			path, bytes.TrimSpace(holder))
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock.Truncate(0), writeAll(lock, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		unlock(lock)
		return nil, err
	}
	return &workdir{path: path, lock: lock, log: log}, nil
}

func (w *workdir) join(name string) string { return filepath.Join(w.path, name) }

func (w *workdir) close() { unlock(w.lock) }

// secret reads a password, or makes one: 128 bits that need no quoting anywhere.
func (w *workdir) secret(name string) (string, error) {
	raw, err := os.ReadFile(w.join(name))
	if err == nil && len(bytes.TrimSpace(raw)) > 0 {
		return string(bytes.TrimSpace(raw)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	text := rand.Text()
	return text, writeAtomic(w.join(name), []byte(text+"\n"), 0o600)
}

// port is the one asked for, else the one of the last start, else a free one.
func (w *workdir) port(ctx context.Context, asked int) (int, error) {
	return w.portOf(ctx, "port", asked)
}

// portOf is the port of a service that has several, remembered in a file of this name.
func (w *workdir) portOf(ctx context.Context, file string, asked int) (int, error) {
	if asked != 0 {
		if !freeSoon(ctx, asked) {
			return 0, fmt.Errorf("port %d is taken by %s: stop it, or choose another port", asked, portHolder(asked))
		}
		return asked, nil
	}
	raw, _ := os.ReadFile(w.join(file))
	remembered, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if remembered != 0 && freeSoon(ctx, remembered) {
		return remembered, nil
	}
	for range 100 {
		port := firstPort + mrand.IntN(lastPort-firstPort+1)
		if !portFree(port) {
			continue
		}
		if remembered != 0 {
			w.log.Warn("port of the last start is taken, using another", "folder", w.path,
				"taken", remembered, "by", portHolder(remembered), "port", port)
		}
		return port, writeAtomic(w.join(file), []byte(strconv.Itoa(port)+"\n"), 0o600)
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

// freeSoon gives the service of a parent that was killed a moment ago the time to
// end: the kernel has told it to.
func freeSoon(ctx context.Context, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return poll(ctx, func(context.Context) error {
		if portFree(port) {
			return nil
		}
		return syscall.EADDRINUSE
	}) == nil
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// openLog opens the file that a child writes its output to. The child holds it
// itself, so that its last words are kept when the parent dies first.
func (w *workdir) openLog(name string) (*os.File, error) {
	return os.OpenFile(w.join(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// boundLog puts aside a log that has grown too large, and the one put aside
// before goes. The child keeps its file, which is why that is copied and emptied.
func (w *workdir) boundLog(name string) error {
	path := w.join(name + ".log")
	info, err := os.Stat(path)
	if err != nil || info.Size() <= maxLogSize {
		return err
	}
	if err := os.Remove(path + ".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(copyFile(path, path+".1", 0o600), os.Truncate(path, 0))
}

// logTail is the last lines of a child's output.
func (w *workdir) logTail(name string, lines int) string {
	f, err := os.Open(w.join(name + ".log"))
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 4096 {
		f.Seek(-4096, io.SeekEnd)
	}
	raw, _ := io.ReadAll(f)
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
