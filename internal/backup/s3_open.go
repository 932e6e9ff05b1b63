package backup

import (
	"context"
	"io"

	"github.com/minio/minio-go/v7"
)

// Open implements Remote. A line that breaks is taken up again where it broke, as long as the file is the same.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	asked, stop := s.within(ctx, 0)
	defer stop()
	stored, err := s.client.StatObject(asked, s.Bucket, s.key(name), minio.StatObjectOptions{})
	if err != nil {
		return nil, s.fault(asked, "look at "+name, err)
	}
	r := &s3Reader{s: s, name: name, size: stored.Size, etag: stored.ETag, tries: s3Tries}
	// The reader lives longer than this call, and ends with its own time.
	r.ctx, r.stop = s.within(ctx, stored.Size)
	return r, nil
}

// An s3Reader reads a file from its beginning to its end.
type s3Reader struct {
	ctx   context.Context // of all its requests
	stop  context.CancelFunc
	s     *S3
	name  string
	etag  string // of the file that was opened
	size  int64
	at    int64
	tries int // that are left after a break
	body  io.ReadCloser
}

// Read implements io.Reader. A file that ends early is an error.
func (r *s3Reader) Read(p []byte) (int, error) {
	for {
		if r.at >= r.size {
			return 0, io.EOF
		}
		n, err := r.read(p)
		r.at += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		r.drop()
		if r.tries--; r.tries <= 0 || r.ctx.Err() != nil || !passing(err) {
			return 0, r.s.fault(r.ctx, "read "+r.name, err)
		}
	}
}

func (r *s3Reader) read(p []byte) (int, error) {
	if r.body == nil {
		var o minio.GetObjectOptions
		if r.at > 0 {
			if err := o.SetRange(r.at, 0); err != nil {
				return 0, err
			}
		}
		if r.etag != "" {
			if err := o.SetMatchETag(r.etag); err != nil {
				return 0, err
			}
		}
		body, _, _, err := r.s.client.GetObject(r.ctx, r.s.Bucket, r.s.key(r.name), o)
		if err != nil {
			return 0, err
		}
		r.body = body
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.at)])
	if err == io.EOF && n == 0 {
		err = io.ErrUnexpectedEOF // more was promised
	}
	return n, err
}

func (r *s3Reader) drop() {
	if r.body != nil {
		_ = r.body.Close() // only read from
		r.body = nil
	}
}

// Close implements io.Closer.
func (r *s3Reader) Close() error {
	r.drop()
	r.stop()
	return nil
}
