package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// OllamaVersion is the one that scripts/ollama.sh builds.
const OllamaVersion = "0.17.4"

// OllamaOptions says which Ollama to run and where it keeps its models.
type OllamaOptions struct {
	// Binary is the program; FindOllama looks for one.
	Binary string
	// Dir is its home; the models are in Dir/models.
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	// Env is added to its environment, such as OLLAMA_MAX_QUEUE=1.
	Env []string
	Log *slog.Logger
}

// Ollama is a private model server. It may be stopped and started again: the
// address stays.
type Ollama struct {
	o    OllamaOptions
	port int

	mu   sync.Mutex
	proc *Process
}

// StartOllama starts a model server and returns when it answers.
func StartOllama(ctx context.Context, o OllamaOptions) (*Ollama, error) {
	l := &Ollama{o: o, port: o.Port}
	if err := l.Start(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Start starts it again after Stop, where it was.
func (l *Ollama) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	dir, err := openWorkdir(l.o.Dir, l.o.Log)
	if err != nil {
		return fmt.Errorf("start ollama: %w", err)
	}
	if l.port, err = dir.port(ctx, l.port); err != nil {
		dir.close()
		return fmt.Errorf("start ollama: %w", err)
	}
	proc, err := startProcess(ctx, processOptions{
		name:       "ollama",
		path:       l.o.Binary,
		args:       []string{"serve"},
		env:        l.env(dir.path),
		stopSignal: syscall.SIGTERM, // it takes its runners with it
		ready:      l.answers,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		return err
	}
	l.proc = proc
	return nil
}

func (l *Ollama) env(home string) []string {
	return append([]string{
		"HOME=" + home,
		"OLLAMA_HOST=" + loopback(l.port),
		"OLLAMA_MODELS=" + filepath.Join(home, "models"),
		"OLLAMA_NO_CLOUD=1",
	}, l.o.Env...)
}

func (l *Ollama) process() *Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proc
}

// URL is the server's address.
func (l *Ollama) URL() string { return "http://" + loopback(l.port) }

// Pid is the server's process, or 0 while it does not run.
func (l *Ollama) Pid() int { return l.process().Pid() }

// Kill sends SIGKILL to the server and to its runners. It is started again.
func (l *Ollama) Kill() { l.process().Kill() }

// WaitReady waits until the server answers.
func (l *Ollama) WaitReady(ctx context.Context) error { return l.process().WaitReady(ctx) }

// Stop ends the server and its runners.
func (l *Ollama) Stop(ctx context.Context) error { return l.process().Stop(ctx) }

func (l *Ollama) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return l.call(ctx, http.MethodGet, "/api/version", nil)
}

// Load has a model in memory, so that the next answer doesn't wait for that.
func (l *Ollama) Load(ctx context.Context, model string) error {
	return l.call(ctx, http.MethodPost, "/api/generate", map[string]any{"model": model, "stream": false})
}

// Create makes a model of a GGUF file; the modelfile is what Ollama's own has,
// without FROM.
func (l *Ollama) Create(ctx context.Context, name, gguf, modelfile string) error {
	home, err := filepath.Abs(l.o.Dir)
	if err != nil {
		return err
	}
	if gguf, err = filepath.Abs(gguf); err != nil {
		return err
	}
	f, err := os.CreateTemp(home, "Modelfile-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(writeAll(f, "FROM "+gguf+"\n"+modelfile), f.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.o.Binary, "create", name, "-f", f.Name())
	cmd.Env = append(append([]string{}, childEnv...), l.env(home)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create model %s: %w\n%s", name, err, out)
	}
	return nil
}

// Copy gives a model a second name.
func (l *Ollama) Copy(ctx context.Context, name, to string) error {
	if err := l.call(ctx, http.MethodPost, "/api/copy", map[string]string{"source": name, "destination": to}); err != nil {
		return fmt.Errorf("copy model %s to %s: %w", name, to, err)
	}
	return nil
}

func (l *Ollama) call(ctx context.Context, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, l.URL()+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return err
}

// FindOllama looks for the program: the checkout's own, the one that
// scripts/ollama.sh built, the one in PATH.
func FindOllama() (string, error) {
	var candidates []string
	if root, err := moduleRoot(); err == nil {
		candidates = append(candidates, filepath.Join(root, ".ollama", "ollama"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(cache, "payaid", "ollama-"+OllamaVersion, "ollama"))
	}
	for _, path := range append(candidates, "ollama") {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New("find ollama: it is not installed: run `make ollama`, which builds it once")
}

// moduleRoot is the folder of go.mod, from where a test runs.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}
