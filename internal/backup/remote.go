package backup

import (
	"context"
	"io"
	"time"
)

// A Remote is a second place for backups, away from this machine.
type Remote interface {
	// Put stores a file whole or not at all.
	Put(ctx context.Context, name string, r io.Reader, size int64, sha256 string) error
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	List(ctx context.Context) ([]Object, error)
	Remove(ctx context.Context, name string) error
}

// An Object is a file in a remote place.
type Object struct {
	Name     string
	Size     int64
	StoredAt time.Time
}
