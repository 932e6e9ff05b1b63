package localstack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/payaid/payaid/internal/localstack/tinygguf"
)

var sharedOllama shared[*Ollama]

// TestOllama is the real Ollama that all tests of one test binary share. The
// models tiny, mistral:7b, llama2:13b, openai/gpt-oss-20b and openai/gpt-oss-120b
// are all the tiny model; tiny-slow is one that is slow and never ends its answer.
// Where Ollama is missing the test fails in CI, and is skipped elsewhere.
func TestOllama(tb testing.TB) *Ollama {
	tb.Helper()
	requireOllama(tb)
	return sharedOllama.get(tb, "ollama", func(ctx context.Context, dir string) (*Ollama, error) {
		return StartTinyOllama(ctx, dir)
	})
}

// NewOllama is a private one with the same models, which the test may kill or
// restart; env is added to its environment.
func NewOllama(tb testing.TB, env ...string) *Ollama {
	tb.Helper()
	requireOllama(tb)
	return private(tb, "ollama", func(ctx context.Context, dir string) (*Ollama, error) {
		return StartTinyOllama(ctx, dir, env...)
	})
}

func requireOllama(tb testing.TB) {
	tb.Helper()
	_, err := FindOllama()
	switch {
	case err == nil:
	case insideCI():
		tb.Fatal(err)
	default:
		tb.Skip(err)
	}
}

// insideCI is the one place outside the commands that looks at the environment:
// every CI service sets CI, and there a part that is missing is a failure.
func insideCI() bool {
	value, ok := os.LookupEnv("CI")
	return ok && value != "" && value != "false"
}

// StartTinyOllama starts an Ollama that has the models of TestOllama, for who is no test: a measurement.
func StartTinyOllama(ctx context.Context, dir string, env ...string) (*Ollama, error) {
	binary, err := FindOllama()
	if err != nil {
		return nil, err
	}
	if err := linkTestModels(ctx, binary, filepath.Join(dir, "models")); err != nil {
		return nil, fmt.Errorf("make the test models: %w", err)
	}
	return StartOllama(ctx, OllamaOptions{Binary: binary, Dir: dir, Env: env})
}

// testModel is a model as the tests know it.
type testModel struct {
	name, modelfile string
	options         tinygguf.Options
	aliases         []string
}

var testModels = []testModel{
	{
		name: "tiny", modelfile: tinygguf.Modelfile,
		aliases: []string{"mistral:7b", "llama2:13b", "openai/gpt-oss-20b", "openai/gpt-oss-120b"},
	},
	{
		name: "tiny-slow", modelfile: tinygguf.EndlessModelfile,
		options: tinygguf.Options{Layers: 60, Endless: true},
	},
}

// linkTestModels fills a models folder. Making the models takes seconds, so that
// they are kept; their files never change, so that links to them will do.
func linkTestModels(ctx context.Context, binary, to string) error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	key, err := testModelsKey()
	if err != nil {
		return err
	}
	kept := filepath.Join(cache, "models-"+key)
	if err := ensureTestModels(ctx, binary, kept); err != nil {
		return err
	}
	return linkTree(kept, to)
}

// testModelsKey changes with anything that goes into the models.
func testModelsKey() (string, error) {
	sum := sha256.New()
	if err := tinygguf.Write(sum, tinygguf.Options{}); err != nil {
		return "", err
	}
	fmt.Fprintf(sum, "%s %+v", OllamaVersion, testModels)
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), nil
}

func ensureTestModels(ctx context.Context, binary, kept string) error {
	lock, err := lockFile(kept+".lock", 0)
	if err != nil {
		return err
	}
	defer unlock(lock)
	if _, err := os.Stat(kept); err == nil {
		return nil
	}
	work, err := newTestDir("models")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	ollama, err := StartOllama(ctx, OllamaOptions{Binary: binary, Dir: work})
	if err != nil {
		return err
	}
	for _, m := range testModels {
		if err = m.create(ctx, ollama, work); err != nil {
			break
		}
	}
	if err := errors.Join(err, ollama.Stop(ctx), os.RemoveAll(kept+".new")); err != nil {
		return err
	}
	if err := copyTree(filepath.Join(work, "models"), kept+".new"); err != nil {
		return err
	}
	return os.Rename(kept+".new", kept)
}

func (m testModel) create(ctx context.Context, ollama *Ollama, dir string) error {
	gguf := filepath.Join(dir, m.name+".gguf")
	f, err := os.Create(gguf)
	if err != nil {
		return err
	}
	defer os.Remove(gguf)
	if err := errors.Join(tinygguf.Write(f, m.options), f.Close()); err != nil {
		return err
	}
	if err := ollama.Create(ctx, m.name, gguf, m.modelfile); err != nil {
		return err
	}
	for _, alias := range m.aliases {
		if err := ollama.Copy(ctx, m.name, alias); err != nil {
			return err
		}
	}
	return nil
}

// linkTree is copyTree with hard links, where both are on one file system.
func linkTree(from, to string) error {
	return walkTree(from, to, func(path, target string, mode fs.FileMode) error {
		if os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target, mode)
	})
}
