package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// An archive is the dump of a backup, held open: what was checked is what is restored, whatever becomes of its name.
type archive struct {
	Manifest
	file *os.File
}

func (a *archive) close() { _ = a.file.Close() } // it was only read

// spoilt is the remedy for a file that is not what was written.
const spoilt = "take another backup (`payaid backup list`), or a copy of this one from elsewhere, and have the disk looked at"

// check reads the file to its end and compares it with the manifest.
func (a *archive) check(ctx context.Context, tell *teller) error {
	info, err := a.file.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", a.File, err)
	}
	if info.Size() < a.Bytes {
		return &Fault{Code: Truncated, Remedy: spoilt,
			Detail: fmt.Sprintf("%s has %d bytes of the %d that were written", a.File, info.Size(), a.Bytes)}
	}
	if info.Size() > a.Bytes {
		return &Fault{Code: Corrupted, Remedy: spoilt,
			Detail: fmt.Sprintf("%s has %d bytes, and %d were written", a.File, info.Size(), a.Bytes)}
	}
	sum := sha256.New()
	read := tell.reader(ctx, Checking, io.NewSectionReader(a.file, 0, a.Bytes), a.Bytes)
	if _, err := io.Copy(sum, read); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Fault{Code: Corrupted, Detail: a.File + " can't be read to its end", Remedy: spoilt, Err: err}
	}
	if hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
		return &Fault{Code: Corrupted, Detail: a.File + " is not what was written: its SHA-256 differs from the manifest's", Remedy: spoilt}
	}
	return nil
}

// unpacked is what pg_dump wrote, read from an archive.
type unpacked struct {
	name    string
	in      io.Reader
	unzip   *zstd.Decoder
	sum     hash.Hash
	size    int64
	want    Manifest
	trouble error // the first; pg_restore sees only an early end
}

// unpack decrypts and decompresses, as it is read.
func (k *Keeper) unpack(ctx context.Context, a *archive, tell *teller) (*unpacked, error) {
	var in io.Reader = io.NewSectionReader(a.file, 0, a.Bytes)
	if a.Encrypted() {
		var err error
		if in, err = k.decrypt(a, in); err != nil {
			return nil, err
		}
	}
	// Without a bound a header of a few bytes would ask for as much memory as it likes.
	unzip, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, &Fault{Code: Corrupted, Detail: a.File + " is not compressed as its manifest says", Remedy: spoilt, Err: err}
	}
	u := &unpacked{name: a.File, unzip: unzip, sum: sha256.New(), want: a.Manifest}
	u.in = tell.reader(ctx, Restoring, unzip, a.PlainBytes)
	return u, nil
}

func (k *Keeper) decrypt(a *archive, in io.Reader) (io.Reader, error) {
	if len(k.identities) == 0 {
		return nil, &Fault{Code: KeyMissing, Detail: a.File + " is encrypted, and no key to read it was given",
			Remedy: "give the age secret key that belongs to the public key by BACKUP_AGE_IDENTITY or --identity"}
	}
	plain, err := age.Decrypt(in, k.identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, &Fault{Code: WrongKey, Detail: "none of the keys that were given opens " + a.File,
			Remedy: fmt.Sprintf("give the secret key of %v by BACKUP_AGE_IDENTITY or --identity", a.Recipients), Err: err}
	}
	if err != nil {
		return nil, &Fault{Code: Corrupted, Detail: a.File + " is not encrypted as its manifest says", Remedy: spoilt, Err: err}
	}
	return plain, nil
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	u.sum.Write(p[:n])
	u.size += int64(n)
	if err != nil && err != io.EOF && u.trouble == nil {
		u.trouble = err
	}
	return n, err
}

// finish reads what is left and says whether all of it was what pg_dump wrote.
func (u *unpacked) finish(ctx context.Context) error {
	if u.trouble == nil {
		_, _ = io.Copy(io.Discard, u) // its error is the trouble
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case u.trouble != nil:
		return &Fault{Code: Corrupted, Detail: u.name + " can't be unpacked to its end", Remedy: spoilt, Err: u.trouble}
	case u.size != u.want.PlainBytes || hex.EncodeToString(u.sum.Sum(nil)) != u.want.PlainSHA256:
		return &Fault{Code: Corrupted, Detail: u.name + " holds another archive than pg_dump wrote", Remedy: spoilt}
	}
	return nil
}

func (u *unpacked) close() { u.unzip.Close() }
