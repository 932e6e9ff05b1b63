package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// codec is how a dump is compressed. On dumps the fastest level of zstd is as small as gzip -6, at a sixth of its time.
const codec = "zstd"

// A sink compresses and encrypts what is written to it, and knows the checksums of both ends.
type sink struct {
	plain, stored counted
	pack          *zstd.Encoder
	seal          io.WriteCloser // nil: not encrypted
	buffer        *bufio.Writer
}

// newSink writes to w. Its close makes the last bytes; it doesn't close w.
func newSink(w io.Writer, recipients []age.Recipient) (*sink, error) {
	s := &sink{plain: counted{hash: sha256.New()}}
	s.stored = counted{hash: sha256.New(), to: w}
	s.buffer = bufio.NewWriterSize(&s.stored, 256<<10)
	var to io.Writer = s.buffer
	if len(recipients) > 0 {
		seal, err := age.Encrypt(to, recipients...)
		if err != nil {
			return nil, fmt.Errorf("begin to encrypt: %w", err)
		}
		s.seal, to = seal, seal
	}
	pack, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("begin to compress: %w", err)
	}
	s.pack, s.plain.to = pack, pack
	return s, nil
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) { return s.plain.Write(p) }

func (s *sink) close() error {
	if err := s.pack.Close(); err != nil {
		return err
	}
	if s.seal != nil {
		if err := s.seal.Close(); err != nil {
			return err
		}
	}
	return s.buffer.Flush()
}

// abandon ends the compressor's goroutines; what was written is of no use.
func (s *sink) abandon() {
	s.pack.Reset(nil)
	_ = s.pack.Close() // into nothing
}

// counted counts and hashes what goes through it.
type counted struct {
	to    io.Writer
	hash  hash.Hash
	bytes int64
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.bytes += int64(n)
	c.hash.Write(p[:n])
	return n, err
}

func (c *counted) sum() string { return hex.EncodeToString(c.hash.Sum(nil)) }
