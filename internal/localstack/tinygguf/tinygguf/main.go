// Command tinygguf writes the tests' language model to a file, for an Ollama that
// is used by hand.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/payaid/payaid/internal/localstack/tinygguf"
)

func main() {
	path := flag.String("o", "tiny.gguf", "file to write")
	layers := flag.Int("layers", 1, "layers; those past the first only make it slower")
	endless := flag.Bool("endless", false, "never end an answer")
	flag.Parse()
	if err := write(*path, tinygguf.Options{Layers: *layers, Endless: *endless}); err != nil {
		fmt.Fprintln(os.Stderr, "tinygguf:", err)
		os.Exit(1)
	}
}

func write(path string, o tinygguf.Options) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(tinygguf.Write(f, o), f.Close())
}
