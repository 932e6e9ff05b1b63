package backup

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"

	"github.com/minio/minio-go/v7"
)

// What to do about faults of a remote place.
const (
	remedyAgain = "nothing: the next backup brings what is missing; if it stays, look at the S3 server"
	remedyKeys  = "set BACKUP_S3_ACCESS_KEY and BACKUP_S3_SECRET_KEY to a key of that server"
	remedyAway  = "look whether BACKUP_S3_ENDPOINT is right, and the server runs and can be reached from this machine"
)

// s3Answers say what answers of a server mean to its owner, by S3's code.
var s3Answers = map[string]struct{ detail, remedy string }{
	"NoSuchBucket":                 {"the bucket is not there", "make the bucket, or set BACKUP_S3_BUCKET to one that is there"},
	"InvalidBucketName":            {"the bucket's name is none", "set BACKUP_S3_BUCKET"},
	"InvalidAccessKeyId":           {"the server doesn't know the access key", remedyKeys},
	"SignatureDoesNotMatch":        {"the secret key is not that of the access key", remedyKeys},
	"AccessDenied":                 {"the key may not do that", "let it s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject in the bucket"},
	"AllAccessDisabled":            {"the bucket is closed", "ask who runs the S3 server"},
	"RequestTimeTooSkewed":         {"this machine's clock and the server's differ too much", "set the clocks, by NTP for example"},
	"AuthorizationHeaderMalformed": {"the region is another", "set BACKUP_S3_REGION to the bucket's"},
	"PermanentRedirect":            {"the bucket is at another endpoint", "set BACKUP_S3_ENDPOINT and BACKUP_S3_REGION to the bucket's"},
	"BadDigest":                    {"the bytes changed on their way", remedyAgain},
	"XAmzContentSHA256Mismatch":    {"the bytes changed on their way", remedyAgain},
	"QuotaExceeded":                {"the bucket is full", "make room in the bucket, or keep backups for a shorter time"},
	"XMinioStorageFull":            {"the server's disk is full", "make room there, or keep backups for a shorter time"},
	"XMinioAdminBucketQuotaExceeded": {"the bucket is full",
		"make room in the bucket, or keep backups for a shorter time"},
	"ObjectLocked":       {"the bucket keeps its files for a set time", "nothing: it is removed when that time is over"},
	"InvalidObjectState": {"the file is in cold storage", "have it brought back first"},
}

// fault makes of what a client library says what an operator can use.
func (s *S3) fault(ctx context.Context, doing string, err error) error {
	var known *Fault
	if errors.As(err, &known) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return err
	}
	f := &Fault{Code: RemoteFailed, Err: err, Remedy: remedyAgain}
	why := ""
	answer := minio.ToErrorResponse(err)
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var expired x509.CertificateInvalidError
	var network net.Error
	said, ours := s3Answers[answer.Code]
	switch {
	case answer.Code == minio.NoSuchKey:
		f.Code, why, f.Remedy = NotFound, "it is not there", "look at `payaid backup list`"
	case ours:
		why, f.Remedy = said.detail, said.remedy
	case errors.As(err, &authority):
		why, f.Remedy = "its certificate is from an authority that this machine doesn't trust", "set BACKUP_S3_CA_FILE to the authority's certificate"
	case errors.As(err, &hostname), errors.As(err, &expired):
		why, f.Remedy = "its certificate is no good: "+plain(err.Error()), "mend the certificate of the S3 server, or BACKUP_S3_ENDPOINT"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		why, f.Remedy = "it does not answer in time", remedyAway
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		why, f.Remedy = "it refuses the key", remedyKeys
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		why, f.Remedy = fmt.Sprintf("it sends elsewhere (%d)", answer.StatusCode), remedyAway
	case answer.StatusCode != 0:
		why = fmt.Sprintf("it answers %d %s", answer.StatusCode, plain(answer.Code+" "+answer.Message))
	case errors.Is(err, io.ErrUnexpectedEOF):
		why = "the connection broke"
	default:
		why, f.Remedy = plain(err.Error()), remedyAway
	}
	f.Detail = fmt.Sprintf("S3 (bucket %s): %s: %s", s.Bucket, doing, why)
	return f
}

// plain is a foreign text that can stand in a log: one line, not long.
func plain(text string) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// passing reports whether a request may go well at the next try.
func passing(err error) bool {
	status := minio.ToErrorResponse(err).StatusCode
	return status == 0 || status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
}

// unreadable and changed are faults of the file here.
func unreadable(name string, err error) error {
	return &Fault{Code: FolderUnusable, Detail: fmt.Sprintf("read %s: %v", name, err), Remedy: "look at the disk of the backup folder", Err: err}
}

func changed(name string) error {
	return &Fault{Code: Corrupted, Detail: name + " is not what its manifest says, so it was not uploaded",
		Remedy: "make a new backup, and look at the disk of the backup folder"}
}
