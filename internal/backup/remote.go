package backup

import (
	"context"
	"io"
	"time"
)

// A Remote is a second place for backups, away from this machine.
type Remote interface {
	// Put stores a file whole or not at all, and is done when the place holds exactly these bytes. The sum is their
	// SHA-256 in hexadecimal.
	Put(ctx context.Context, name string, from io.ReaderAt, size int64, sum string) error
	// Open gives a file to read. One that isn't there is a Fault with NotFound.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List gives all files, in no order.
	List(ctx context.Context) ([]Object, error)
	// Remove takes a file away; one that isn't there is fine.
	Remove(ctx context.Context, name string) error
}

// An Object is a file in a remote place.
type Object struct {
	Name     string
	Size     int64
	StoredAt time.Time
	MD5      string // in hexadecimal, where the place says; "" where it doesn't
}
