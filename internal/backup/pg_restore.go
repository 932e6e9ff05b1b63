package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// spreadFrom is the size of an archive from which on several sessions restore it. They need it unpacked in a file.
const spreadFrom = 128 << 20

// errKilled says nothing of what was being restored.
var errKilled = errors.New("somebody killed it")

// restoring is one run of pg_restore.
type restoring struct {
	client   client
	url      string   // of the empty database
	more     []string // arguments
	tell     *teller
	parallel int
	owners   bool // everything is its former owner's, which only a superuser can say; else the login's
}

// restoreArchive fills a database from an archive. It ends at the first statement that fails.
func (k *Keeper) restoreArchive(ctx context.Context, a *archive, r restoring) error {
	u, err := k.unpack(ctx, a, r.tell)
	if err != nil {
		return err
	}
	defer u.close()
	l, err := newLogin(r.url, "")
	if err != nil {
		return err
	}
	defer l.close()
	args := append([]string{"--format=custom", "--exit-on-error", "--no-password", "--dbname=service=payaid"}, r.more...)
	if !r.owners {
		args = append(args, "--no-owner")
	}
	streams := programIO{In: u}
	if r.parallel = k.sessions(a); r.parallel > 1 {
		spread, err := spread(k.workDir(), u)
		if spread != nil {
			defer spread.Close()
		}
		if err != nil {
			return errors.Join(u.finish(ctx), err)
		}
		streams = programIO{Files: []*os.File{spread}}
		args = append(args, fmt.Sprintf("--jobs=%d", r.parallel), firstFile)
	}
	p, err := startProgram(ctx, r.client, l, "pg_restore", streams, args...)
	if err != nil {
		return &Fault{Code: ClientVersion, Detail: "pg_restore can't be started", Remedy: "install the client of Postgres anew", Err: err}
	}
	if r.parallel > 1 {
		r.tell.say(Restoring, 0, 0)
	}
	failed := p.wait()
	// What it was fed comes first: pg_restore only saw that it ended.
	if err := u.finish(ctx); err != nil {
		return err
	}
	return restoreFault(p, failed)
}

// sessions is how many restore an archive: one reads it as it is unpacked, several want it in a file, which is no
// place for what was encrypted.
func (k *Keeper) sessions(a *archive) int {
	most := min(4, runtime.NumCPU())
	if a.Encrypted() || a.PlainBytes < k.spreadFrom || most < 2 {
		return 1
	}
	if free, err := freeBytes(k.workDir()); err != nil || free < a.PlainBytes+a.PlainBytes/5 {
		return 1
	}
	return most
}

// spread unpacks into a file that has no name any more, so that nothing of it can be left behind.
func spread(dir string, u *unpacked) (*os.File, error) {
	f, err := namelessIn(dir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, u); err != nil && u.trouble == nil {
		return f, &Fault{Code: DiskFull, Detail: "the archive can't be unpacked in " + dir, Err: err, Remedy: "make room there, then try again"}
	}
	return f, nil
}

// restoreFault says why pg_restore did not do it.
func restoreFault(p *program, failed error) error {
	if failed == nil {
		return nil
	}
	said := withoutData(p.warnings())
	f := &Fault{Code: RestoreFailed, Detail: "pg_restore ended without having restored all: " + said,
		Remedy: "read what Postgres says; if the server is in order, take another backup", Err: failed}
	switch {
	case p.signaled():
		f.Err, f.Detail = errKilled, "pg_restore was killed"
		f.Remedy = "see whether the machine ran out of memory, then try again"
	case contains(said, "No space left on device", "could not extend file", "53100"):
		f.Code, f.Remedy = DiskFull, "make room where Postgres keeps its data, then try again"
	case contains(said, "server closed the connection", "terminating connection", "connection to server", "the database system is",
		"no connection to the server", "could not receive data from server", "could not send data to server"):
		f.Code, f.Remedy = DatabaseAway, "see whether Postgres runs, then try again"
	case contains(said, "permission denied", "must be owner", "must be superuser", "must have"):
		f.Code, f.Remedy = LoginTooWeak, "restore by a login that may do it, such as a superuser"
	}
	return f
}

func contains(text string, any ...string) bool {
	for _, part := range any {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// withoutData leaves out of what Postgres says the parts that quote rows.
func withoutData(said string) string {
	for _, mark := range []string{"DETAIL:", "CONTEXT:", "Command was:", "STATEMENT:"} {
		said, _, _ = strings.Cut(said, mark)
	}
	return strings.TrimSpace(said)
}
