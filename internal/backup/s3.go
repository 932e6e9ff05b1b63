package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config says where a bucket is and who asks for it.
type S3Config struct {
	Endpoint  string // https://host, http://host:port
	Bucket    string
	Prefix    string // folder in the bucket, as payaid/production; "": none
	Region    string // "": us-east-1, which servers that know no regions take
	AccessKey string
	SecretKey string
	RootCAs   *x509.CertPool // that the server's certificate is from; nil: the system's
	// Patience is how long a server may be silent: half a minute unless set.
	Patience time.Duration
	// PartSize is that of the pieces in which large files go: 32 MiB unless set. S3 takes none below 5 MiB.
	PartSize int64
}

// S3 is a bucket of S3 or of a server that speaks its protocol, such as MinIO, addressed by path.
type S3 struct {
	S3Config
	client minio.Core
}

// What S3 does where its settings say nothing.
const (
	defaultRegion   = "us-east-1"
	defaultPatience = 30 * time.Second
	defaultPartSize = 32 << 20
	// s3Tries is how often one request is made. The next run makes them all again, so few will do.
	s3Tries = 3
	// slowestBytes is how many bytes a second a line must carry: less is no line, and a backup has to end.
	slowestBytes = 32 << 10
	// mostParts is S3's own limit.
	mostParts = 10_000
)

// sumKey is where a file's SHA-256 is kept with it.
const sumKey = "Sha256"

// NewS3 makes a client. It connects when it is first used.
func NewS3(c S3Config) (*S3, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		return nil, &Fault{Code: RemoteFailed, Detail: "the endpoint of S3 is not a URL of scheme and host alone",
			Remedy: "set it to the like of https://s3.example.com"}
	}
	c.Region, c.Prefix = cmp.Or(c.Region, defaultRegion), strings.Trim(c.Prefix, "/")
	c.Patience, c.PartSize = cmp.Or(c.Patience, defaultPatience), cmp.Or(c.PartSize, defaultPartSize)
	client, err := minio.NewCore(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure: u.Scheme == "https", Region: c.Region, BucketLookup: minio.BucketLookupPath,
		Transport: transport(c.RootCAs, c.Patience), MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, &Fault{Code: RemoteFailed, Detail: "the endpoint of S3 can't be used: " + err.Error(),
			Remedy: "set it to the like of https://s3.example.com", Err: err}
	}
	return &S3{c, *client}, nil
}

// key is a file's name in the bucket.
func (s *S3) key(name string) string {
	if s.Prefix == "" {
		return name
	}
	return s.Prefix + "/" + name
}

// within limits a request that moves so many bytes, all its tries together. A server that trickles is as useless as
// one that is silent, and not seen by looking for silence.
func (s *S3) within(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*s.Patience+time.Duration(size)*time.Second/slowestBytes)
}

// List implements Remote. What lies in folders below isn't ours.
func (s *S3) List(ctx context.Context) ([]Object, error) {
	ctx, stop := s.within(ctx, 1<<20)
	defer stop()
	prefix := s.key("")
	var list []Object
	for o := range s.client.Client.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, s.fault(ctx, "list the bucket", o.Err)
		}
		name := strings.TrimPrefix(o.Key, prefix)
		if name == "" || strings.Contains(name, "/") {
			continue
		}
		list = append(list, Object{Name: name, Size: o.Size, StoredAt: o.LastModified.UTC(), MD5: md5Of(o.ETag)})
	}
	// The listing ends without an error when its time is up.
	if err := ctx.Err(); err != nil {
		return nil, s.fault(ctx, "list the bucket", err)
	}
	return list, nil
}

// Remove implements Remote.
func (s *S3) Remove(ctx context.Context, name string) error {
	ctx, stop := s.within(ctx, 0)
	defer stop()
	err := s.client.RemoveObject(ctx, s.Bucket, s.key(name), minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return s.fault(ctx, "remove "+name, err)
	}
	return nil
}

// confirm makes sure that the bucket holds what was sent. An ETag of the form that S3 gives says so; a bucket that
// encrypts by itself gives others, and then the file is read again.
func (s *S3) confirm(ctx context.Context, name string, size int64, sum, got, want string) error {
	asked, stop := s.within(ctx, 0)
	defer stop()
	stored, err := s.client.StatObject(asked, s.Bucket, s.key(name), minio.StatObjectOptions{})
	if err != nil {
		return s.fault(asked, "look at "+name, err)
	}
	if stored.Size != size {
		return &Fault{Code: RemoteFailed, Detail: fmt.Sprintf("S3 holds %d bytes of %s in place of %d", stored.Size, name, size), Remedy: remedyAgain}
	}
	if strings.Trim(got, `"`) == want && strings.Trim(stored.ETag, `"`) == want {
		return nil
	}
	r, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != sum {
		return &Fault{Code: RemoteFailed, Detail: "S3 holds other bytes of " + name + " than it was sent", Remedy: remedyAgain}
	}
	return nil
}

// md5Of gives what an ETag says of a file, which of one that went in parts is nothing.
func md5Of(etag string) string {
	etag = strings.Trim(etag, `"`)
	if _, err := hex.DecodeString(etag); err != nil || len(etag) != 32 {
		return ""
	}
	return strings.ToLower(etag)
}
