package chaos

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// A journal keeps the lines that a process writes, over all its lives, and wakes who waits for one.
type journal struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	changed chan struct{}
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.partial = append(j.partial, p...)
	for {
		line, rest, whole := bytes.Cut(j.partial, []byte("\n"))
		if !whole {
			break
		}
		j.lines = append(j.lines, string(line))
		j.partial = rest
	}
	close(j.changed)
	j.changed = make(chan struct{})
	return len(p), nil
}

// length is a mark: lines behind it are written later.
func (j *journal) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines)
}

// since gives the lines behind a mark.
func (j *journal) since(mark int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines[mark:]...)
}

// wait returns the first line behind a mark that contains all the texts.
func (j *journal) wait(ctx context.Context, mark int, texts ...string) (string, error) {
	for {
		j.mu.Lock()
		lines, changed := j.lines[mark:], j.changed
		j.mu.Unlock()
		for _, line := range lines {
			if containsAll(line, texts) {
				return line, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the line %q: %w", texts, ctx.Err())
		case <-changed:
		}
	}
}

// count is how many lines behind a mark contain all the texts.
func (j *journal) count(mark int, texts ...string) int {
	n := 0
	for _, line := range j.since(mark) {
		if containsAll(line, texts) {
			n++
		}
	}
	return n
}

func containsAll(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}
