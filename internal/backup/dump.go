package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Every archive of pg_dump begins with it.
var archiveMagic = []byte("PGDMP")

// How much of the archive goes by between two looks at the free space.
const looks = 16 << 20

// dump has pg_dump write the snapshot's archive into the file, compressed and encrypted on the way. Nothing is taken
// for complete before pg_dump has ended well.
func (d *making) dump(ctx context.Context, c client, snap snapshot, file *os.File) error {
	l, err := newLogin(d.DatabaseURL, "")
	if err != nil {
		return err
	}
	defer l.close()
	// Compressed by us: pg_dump knows only gzip until 16, which takes five times as long.
	p, err := startProgram(ctx, c, l, "pg_dump", programIO{}, "--format=custom", "--compress=0", "--no-password",
		"--snapshot="+snap.id, "--lock-wait-timeout="+strconv.FormatInt(d.tableWait.Milliseconds(), 10))
	if err != nil {
		return err
	}
	defer p.stop()
	s, err := newSink(file, d.recipients)
	if err != nil {
		return err
	}
	if err := d.pump(s, p.out); err != nil {
		s.abandon()
		return err
	}
	if err := p.wait(); err != nil {
		s.abandon()
		return dumpFault(p, err)
	}
	if s.plain.bytes < int64(len(archiveMagic)) {
		s.abandon()
		return noArchive()
	}
	if said := p.warnings(); said != "" {
		d.Log.Warn("pg_dump has a remark", "said", said)
	}
	if err := s.close(); err != nil {
		return d.folder.writing(err, "write "+d.File)
	}
	d.Bytes, d.SHA256 = s.stored.bytes, s.stored.sum()
	d.PlainBytes, d.PlainSHA256 = s.plain.bytes, s.plain.sum()
	return nil
}

// pump copies until the program has closed its output.
func (d *making) pump(s *sink, out io.Reader) error {
	buffer := make([]byte, 256<<10)
	var looked int64
	for first := true; ; {
		n, err := out.Read(buffer)
		if n > 0 && first {
			if first = false; !bytes.HasPrefix(buffer[:n], archiveMagic[:min(n, len(archiveMagic))]) {
				return noArchive()
			}
		}
		if _, err := s.Write(buffer[:n]); err != nil {
			return d.folder.writing(err, "write "+d.File)
		}
		d.tell(Dumping, s.plain.bytes)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from pg_dump: %w", err)
		}
		if s.plain.bytes-looked >= looks { // what is stored is counted by the compressor's goroutine
			looked = s.plain.bytes
			if err := d.folder.stillRoom(); err != nil {
				return err
			}
		}
	}
}

func noArchive() *Fault {
	return &Fault{Code: DumpFailed, Detail: "what pg_dump wrote is no archive",
		Remedy: "see that the pg_dump that is found is Postgres' own"}
}

// dumpFault reads from pg_dump's last words why it failed.
func dumpFault(p *program, err error) error {
	said := p.errors.text()
	has := func(signs ...string) bool {
		for _, s := range signs {
			if strings.Contains(said, s) {
				return true
			}
		}
		return false
	}
	f := &Fault{Code: DumpFailed, Detail: "pg_dump failed: " + said, Err: err,
		Remedy: "mend what it says, then make the backup again"}
	switch {
	case has("server version mismatch"):
		f.Code, f.Remedy = ClientVersion, "install pg_dump of the server's own major version"
	case has("due to lock timeout", "due to statement timeout"):
		f.Code, f.Remedy = LockTimeout, "make the backup again when the schema is not being changed"
	case has("row-level security", "permission denied"):
		f.Code, f.Remedy = LoginTooWeak, "give BACKUP_DATABASE_URL the login that owns the tables"
	case has("server closed the connection", "connection to server", "terminating connection", "no connection to the server",
		"could not receive data", "the database system is"):
		f.Code, f.Remedy = DatabaseAway, "see that Postgres runs and stays, then make the backup again"
	case said == "" && p.signaled():
		f.Detail = fmt.Sprintf("pg_dump was killed (%v)", p.err)
		f.Remedy = "see whether the machine ran out of memory (`dmesg`), then make the backup again"
	case said == "":
		f.Detail = fmt.Sprintf("pg_dump ended early (%v)", p.err)
	}
	return f
}
