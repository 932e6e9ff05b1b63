package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Verify proves a backup, the newest one for "" or Latest: its file is what was written, and restored into a database
// of its own it is what the manifest says, row for row. That database is gone afterwards, whatever happens. What came
// of it lies beside the manifest and is returned; the error is why it did not pass. Nothing is noted of a
// verification that was given up, nor over an earlier one when this one could find nothing out.
func (k *Keeper) Verify(ctx context.Context, name string, progress func(Progress)) (Verification, error) {
	tell := &teller{to: progress}
	v := Verification{Name: name, StartedAt: k.now().UTC()}
	v.Host, _ = os.Hostname()
	a, err := k.findToTry(ctx, name, tell)
	if err == nil {
		defer a.close()
		v.Name, v.SHA256 = a.Name, a.SHA256
		err = k.prove(ctx, a, &v, tell)
	}
	v.FinishedAt = k.now().UTC()
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	v.conclude(err)
	var fault *Fault
	if a == nil && !(errors.As(err, &fault) && fault.Code == ManifestInvalid) {
		return v, err // there is nothing that it could be kept beside
	}
	if noted := k.note(ctx, v); noted != nil {
		err = errors.Join(err, noted)
	}
	return v, err
}

func (k *Keeper) findToTry(ctx context.Context, name string, tell *teller) (_ *archive, err error) {
	if name == "" || name == Latest {
		if name, err = k.newest(ctx); err != nil {
			return nil, err
		}
	}
	return k.find(ctx, name, tell)
}

// conclude says what an error means for the backup.
func (v *Verification) conclude(err error) {
	var fault *Fault
	switch {
	case err == nil:
		v.State = Passed
		return
	case errors.As(err, &fault):
		v.Code = fault.Code
		v.Detail = strings.TrimPrefix(v.Detail+"; "+fault.Detail, "; ")
	default:
		v.Detail = "something else went wrong; the log has it"
	}
	v.State = Impossible
	if fault != nil && fault.condemns() {
		v.State = Failed
	}
}

// condemns reports whether it is the backup that is bad, and not what it was to be restored with.
func (f *Fault) condemns() bool {
	switch f.Code {
	case ManifestInvalid, Truncated, Corrupted, Different:
		return true
	case RestoreFailed:
		return !errors.Is(f.Err, errKilled)
	}
	return false
}

// prove fills v in as it goes.
func (k *Keeper) prove(ctx context.Context, a *archive, v *Verification, tell *teller) (err error) {
	if err := a.check(ctx, tell); err != nil {
		return err
	}
	// Before a database is made for nothing.
	u, err := k.unpack(ctx, a, tell)
	if err != nil {
		return err
	}
	u.close()
	address := k.VerifyURL
	if address == "" {
		address = k.DatabaseURL
	}
	server, err := inspectServer(ctx, address, a.Manifest)
	if err != nil {
		return err
	}
	v.ServerVersion = server.version
	pgRestore, err := findClient(ctx, k.Binaries, server.major, "pg_restore")
	if err != nil {
		return err
	}
	s, err := newScratch(ctx, address, "payaid_verify_"+randomID(), a.Manifest)
	if err != nil {
		return err
	}
	defer func() {
		if left := s.drop(ctx); left != nil {
			k.Log.Warn("database of a verification is left behind", "database", s.name, "error", left)
		}
	}()
	began := time.Now()
	err = k.restoreArchive(ctx, a, restoring{client: pgRestore, url: s.url, tell: tell,
		more: []string{"--no-acl", "--no-publications", "--no-subscriptions", "--no-security-labels"}})
	if err != nil {
		return err
	}
	v.RestoreSeconds = time.Since(began).Seconds()
	return examine(ctx, s.url, a.Manifest, v, tell)
}

// examine compares what was restored.
func examine(ctx context.Context, url string, m Manifest, v *Verification, tell *teller) error {
	conn, err := openOn(ctx, url, "")
	if err != nil {
		return serverFault("connect to the restored database", err)
	}
	defer closeConn(ctx, conn)
	c, err := compare(ctx, conn, m, tell)
	if err != nil {
		return err
	}
	v.Tables, v.Rows = c.tables, c.rows
	notes := c.notes
	if err := c.err(); err != nil {
		return err
	}
	checked, why, err := checkIndexes(ctx, conn)
	if why != "" {
		notes = append(notes, why)
	}
	v.IndexesChecked = checked
	v.Detail = strings.Join(notes, "; ")
	return err
}

// closeConn ends a session whether or not ctx has ended.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the server ends it anyway
}

// note keeps a verification beside the manifest: in the folder, from where it is copied to the remote place, or there
// alone, as the manifest.
func (k *Keeper) note(ctx context.Context, v Verification) error {
	if v.State == Impossible && k.knows(v) {
		return nil
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("note the verification of %s: %w", v.Name, err)
	}
	text = append(text, '\n')
	name := v.Name + verificationEnding
	if f, err := openFolder(k.Dir); err == nil {
		defer f.close()
		if _, err := f.root.Lstat(v.Name + manifestEnding); err == nil {
			return f.replace(name, text)
		}
	}
	if k.Remote == nil || v.State == Impossible {
		return nil
	}
	return k.Remote.Put(ctx, name, bytes.NewReader(text), int64(len(text)), hexSum(text))
}

// knows reports whether more is known already of the file that v found out nothing about.
func (k *Keeper) knows(v Verification) bool {
	f, err := openFolder(k.Dir)
	if err != nil {
		return false
	}
	defer f.close()
	var earlier Verification
	raw, err := f.root.ReadFile(v.Name + verificationEnding)
	return err == nil && json.Unmarshal(raw, &earlier) == nil && earlier.SHA256 == v.SHA256 && earlier.State != Impossible
}

// replace writes a small file in place of an older one, whole or not at all. Others may do so at the same time.
func (f *folder) replace(name string, text []byte) error {
	draft := "." + name + "." + randomID() + unfinishedEnding
	file, err := f.root.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return f.writing(err, "make "+draft)
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.root.Rename(draft, name)
	}
	if err != nil {
		_ = f.root.Remove(draft)
		return f.writing(err, "write "+name)
	}
	return f.sync()
}
