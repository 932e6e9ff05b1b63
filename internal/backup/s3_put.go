package backup

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Put implements Remote. A large file goes in parts, and one whose upload was cut off goes on with those that are
// missing. S3 checks each against its sums before it takes it.
func (s *S3) Put(ctx context.Context, name string, from io.ReaderAt, size int64, sum string) error {
	put := s.putWhole
	if size > 2*s.PartSize {
		put = s.putParts
	}
	got, want, err := put(ctx, name, from, size, sum)
	if err != nil {
		return err
	}
	if err := s.confirm(ctx, name, size, sum, got, want); err != nil {
		// What is there is no good. That it can't be removed either changes nothing: nobody looks at a file before
		// its manifest is there.
		_ = s.Remove(ctx, name)
		return err
	}
	return nil
}

// putWhole gives the ETag that S3 answered, and the one that these bytes have.
func (s *S3) putWhole(ctx context.Context, name string, from io.ReaderAt, size int64, sum string) (got, want string, err error) {
	p, err := digest(from, 0, size)
	if err != nil {
		return "", "", unreadable(name, err)
	}
	if p.sha256 != sum {
		return "", "", changed(name)
	}
	ctx, stop := s.within(ctx, size)
	defer stop()
	info, err := s.client.PutObject(ctx, s.Bucket, s.key(name), io.NewSectionReader(from, 0, size), size, p.md5Base64(), p.sha256, putOptions(sum))
	if err != nil {
		return "", "", s.fault(ctx, "store "+name, err)
	}
	return info.ETag, hex.EncodeToString(p.md5), nil
}

// putParts is putWhole for a large file.
func (s *S3) putParts(ctx context.Context, name string, from io.ReaderAt, size int64, sum string) (got, want string, err error) {
	id, stored, err := s.upload(ctx, name, sum)
	if err != nil {
		return "", "", err
	}
	partSize := max(s.PartSize, (size+mostParts-1)/mostParts)
	whole, sums := sha256.New(), md5.New()
	var parts []minio.CompletePart
	for at := int64(0); at < size; at += partSize {
		number := len(parts) + 1
		p, err := digest(from, at, min(partSize, size-at), whole)
		if err != nil {
			return "", "", unreadable(name, err)
		}
		sums.Write(p.md5)
		tag := hex.EncodeToString(p.md5)
		if have := stored[number]; have.Size != p.size || md5Of(have.ETag) != tag {
			if tag, err = s.putPart(ctx, name, id, number, from, p); err != nil {
				return "", "", err
			}
		}
		parts = append(parts, minio.CompletePart{PartNumber: number, ETag: tag})
	}
	if hex.EncodeToString(whole.Sum(nil)) != sum {
		s.abort(ctx, name, id)
		return "", "", changed(name)
	}
	// S3 puts the parts together before it answers, which takes time and sends nothing.
	ctx, stop := s.within(ctx, size)
	defer stop()
	info, err := s.client.CompleteMultipartUpload(ctx, s.Bucket, s.key(name), id, parts, minio.PutObjectOptions{})
	if err != nil {
		return "", "", s.fault(ctx, "store "+name, err)
	}
	return info.ETag, fmt.Sprintf("%x-%d", sums.Sum(nil), len(parts)), nil
}

func (s *S3) putPart(ctx context.Context, name, id string, number int, from io.ReaderAt, p piece) (tag string, err error) {
	ctx, stop := s.within(ctx, p.size)
	defer stop()
	part, err := s.client.PutObjectPart(ctx, s.Bucket, s.key(name), id, number, io.NewSectionReader(from, p.at, p.size), p.size,
		minio.PutObjectPartOptions{Md5Base64: p.md5Base64(), Sha256Hex: p.sha256, DisableContentSha256: true})
	if err != nil {
		return "", s.fault(ctx, fmt.Sprintf("store part %d of %s", number, name), err)
	}
	return part.ETag, nil
}

// upload begins one in parts, or takes up the newest that was cut off, and says which parts it has. Who may not list
// uploads begins anew.
func (s *S3) upload(ctx context.Context, name, sum string) (id string, stored map[int]minio.ObjectPart, err error) {
	ctx, stop := s.within(ctx, 0)
	defer stop()
	stored = make(map[int]minio.ObjectPart)
	var newest minio.ObjectMultipartInfo
	for u := range s.client.ListIncompleteUploads(ctx, s.Bucket, s.key(name), true) {
		if u.Err == nil && u.Key == s.key(name) && !u.Initiated.Before(newest.Initiated) {
			newest = u
		}
	}
	if newest.UploadID != "" && s.parts(ctx, name, newest.UploadID, stored) == nil {
		return newest.UploadID, stored, nil
	}
	clear(stored)
	id, err = s.client.NewMultipartUpload(ctx, s.Bucket, s.key(name), putOptions(sum))
	if err != nil {
		return "", nil, s.fault(ctx, "store "+name, err)
	}
	return id, stored, nil
}

func (s *S3) parts(ctx context.Context, name, id string, into map[int]minio.ObjectPart) error {
	for after := 0; ; {
		page, err := s.client.ListObjectParts(ctx, s.Bucket, s.key(name), id, after, 1000)
		if err != nil {
			return err
		}
		for _, p := range page.ObjectParts {
			into[p.PartNumber] = p
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= after {
			return nil
		}
		after = page.NextPartNumberMarker
	}
}

// AbandonUploads gives up those that were begun before a time, of files that are not wanted any more: their parts are
// paid for, and no list of files shows them. Younger ones may be what another host is sending right now.
func (s *S3) AbandonUploads(ctx context.Context, begun time.Time, wanted func(name string) bool) error {
	ctx, stop := s.within(ctx, 0)
	defer stop()
	prefix := s.key("")
	for u := range s.client.ListIncompleteUploads(ctx, s.Bucket, prefix, false) {
		switch status := minio.ToErrorResponse(u.Err).StatusCode; {
		case status == http.StatusNotFound, status == http.StatusNotImplemented:
			return nil // there are none, or no server that tells
		case u.Err != nil:
			return s.fault(ctx, "list uploads", u.Err)
		}
		if name := u.Key[min(len(prefix), len(u.Key)):]; strings.HasPrefix(name, "payaid_") && u.Initiated.Before(begun) && !wanted(name) {
			s.abort(ctx, name, u.UploadID)
		}
	}
	return nil
}

// abort leaves an upload that can't be ended for the next time.
func (s *S3) abort(ctx context.Context, name, id string) {
	ctx, stop := s.within(ctx, 0)
	defer stop()
	_ = s.client.AbortMultipartUpload(ctx, s.Bucket, s.key(name), id)
}

func putOptions(sum string) minio.PutObjectOptions {
	return minio.PutObjectOptions{ContentType: "application/octet-stream", UserMetadata: map[string]string{sumKey: sum}, DisableContentSha256: true}
}

// A piece is a part of a file with its sums.
type piece struct {
	at, size int64
	md5      []byte // S3's own sum of a part
	sha256   string
}

func (p piece) md5Base64() string { return base64.StdEncoding.EncodeToString(p.md5) }

// digest reads a piece for its sums, and for those of the whole.
func digest(from io.ReaderAt, at, size int64, also ...hash.Hash) (piece, error) {
	m, sum := md5.New(), sha256.New()
	into := []io.Writer{m, sum}
	for _, h := range also {
		into = append(into, h)
	}
	n, err := io.Copy(io.MultiWriter(into...), io.NewSectionReader(from, at, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return piece{at: at, size: size, md5: m.Sum(nil), sha256: hex.EncodeToString(sum.Sum(nil))}, err
}
