package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// tableWait is how long a table may be locked by others before a backup gives up. Whoever comes after a backup that
// waits isn't held up by it, but pg_dump waits behind changes of the schema, and those behind what is locked already.
const tableWait = 30 * time.Second

// lockPatience is short enough for somebody who waits, as there may be hours to wait for.
const lockPatience = 5 * time.Second

// hashBytes is a gigabyte's hundredth part of the time of a dump, and enough for all that people look at every day.
const hashBytes = 64 << 20

// Make makes a backup. When it returns an error there is no backup, and those made before are as they were. What
// killed runs have left is removed. It doesn't apply the retention; Retain does, and belongs after a success.
func (k *Keeper) Make(ctx context.Context, o MakeOptions) (Manifest, error) {
	if err := makeFolder(k.Dir); err != nil {
		return Manifest{}, err
	}
	f, err := openFolder(k.Dir)
	if err != nil {
		return Manifest{}, err
	}
	defer f.close()
	s, err := k.openSession(ctx)
	if err != nil {
		return Manifest{}, err
	}
	defer s.close(ctx)
	if err := k.checked(ctx, s, f, o); err != nil {
		return Manifest{}, err
	}
	d, err := k.begin(s, f, o)
	if err != nil {
		return Manifest{}, err
	}
	if err := d.make(ctx); err != nil {
		return Manifest{}, fmt.Errorf("make backup %s: %w", d.Name, err)
	}
	return d.Manifest, nil
}

// checked takes the locks, and looks at everything that can be known before the first byte.
func (k *Keeper) checked(ctx context.Context, s *session, f *folder, o MakeOptions) error {
	if o.Progress != nil {
		o.Progress(Progress{Stage: Waiting})
	}
	if err := s.take(ctx, k.LockID, k.patience); err != nil {
		return err
	}
	if err := f.take(); err != nil {
		return err
	}
	removed, err := f.sweep()
	if err != nil {
		return err
	}
	for _, name := range removed {
		k.Log.Info("unfinished backup removed", "file", name)
	}
	return s.seesAll(ctx)
}

// A making is one backup while it is made.
type making struct {
	*Keeper
	Manifest
	session *session
	folder  *folder
	options MakeOptions
	total   int64    // bytes of the archive that are expected
	named   []string // files that have their names
	mu      sync.Mutex
	told    time.Time
}

// begin looks whether there is room, and finds a name.
func (k *Keeper) begin(s *session, f *folder, o MakeOptions) (*making, error) {
	d := &making{Keeper: k, session: s, folder: f, options: o}
	expected, plain, err := k.expected(s, f)
	if err != nil {
		return nil, err
	}
	d.total = plain
	if err := f.roomFor(expected); err != nil {
		return nil, err
	}
	id := o.ID
	if id == "" {
		made, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an id: %w", err)
		}
		id = made.String()
	}
	host, _ := os.Hostname() // there may be none
	now := k.now().UTC()
	d.Manifest = Manifest{Format: manifestFormat, ID: id, Host: host, JobID: o.JobID, StartedAt: now,
		Database: s.Database, ServerVersion: s.Version, ServerMajor: s.Major, Encoding: s.Encoding, Collate: s.Collate,
		Ctype: s.Ctype, Codec: codec, Recipients: append([]string{}, k.Recipients...)}
	if d.Name, err = f.freeName(now); err != nil {
		return nil, err
	}
	d.File = d.Name + dumpEnding
	if len(k.recipients) > 0 {
		d.File = d.Name + encryptedEnding
	}
	return d, nil
}

// expected is how many bytes a backup may have, and its archive before it is compressed, as far as the last one tells;
// 0 where none does.
func (k *Keeper) expected(s *session, f *folder) (bytes, plain int64, err error) {
	entries, err := k.listFolder(f)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries { // the newest first
		if e.Good() && e.Manifest.Database == s.Database {
			return e.Manifest.Bytes + e.Manifest.Bytes/5, e.Manifest.PlainBytes, nil
		}
	}
	return s.Bytes / 2, 0, nil
}

// make dumps and counts one snapshot, and gives the files their names when all of it is on disk.
func (d *making) make(ctx context.Context) error {
	c, err := findClient(ctx, d.Binaries, d.ServerMajor, "pg_dump")
	if err != nil {
		return err
	}
	d.ClientVersion = c.version
	snap, err := d.session.snapshot(ctx, d.tableWait)
	if err != nil {
		return err
	}
	d.SnapshotAt, d.LSN = snap.at.UTC(), snap.lsn
	if d.Sequences, err = listSequences(ctx, d.session.conn); err != nil { // before pg_dump looks, as they only go on
		return databaseFault(err, "was lost")
	}
	d.total = cmp.Or(d.total, plainSize(snap.relations))
	file, err := d.folder.create(d.File)
	if err != nil {
		return err
	}
	err = d.fill(ctx, c, snap, file)
	if err := errors.Join(err, file.Close()); err != nil {
		d.discard()
		if ctx.Err() != nil {
			return context.Cause(ctx) // what ended because of it is no fault
		}
		return err
	}
	if err := d.commit(); err != nil {
		d.discard()
		return err
	}
	return nil
}

// plainSize is about the size of an archive, by that of the tables.
func plainSize(list []relation) (n int64) {
	for _, r := range list {
		n += r.bytes
	}
	return n
}

// fill makes the file's bytes, and what the manifest says of the snapshot.
func (d *making) fill(ctx context.Context, c client, snap snapshot, file *os.File) error {
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error { return d.dump(working, c, snap, file) })
	group.Go(func() error { return d.count(working, snap) })
	if err := group.Wait(); err != nil {
		return err
	}
	// Without the session that held the lock, others may have changed the schema meanwhile.
	if _, err := d.session.conn.Exec(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("end the snapshot: %w", databaseFault(err, "was lost"))
	}
	if err := file.Sync(); err != nil {
		return d.folder.writing(err, "write "+d.File+" to disk")
	}
	d.FinishedAt = d.now().UTC()
	return nil
}

// count fills in what the snapshot holds.
func (d *making) count(ctx context.Context, snap snapshot) (err error) {
	conn := d.session.conn
	hash := hashable(snap.relations, d.hashBytes)
	d.Tables = make([]Table, 0, len(snap.relations))
	for _, r := range snap.relations {
		t, err := measure(ctx, conn, r.name, hash[r.name])
		if err != nil {
			return databaseFault(err, "was lost")
		}
		d.Tables = append(d.Tables, t)
	}
	if d.Extensions, err = listExtensions(ctx, conn); err != nil {
		return databaseFault(err, "was lost")
	}
	if d.Roles, err = listRoles(ctx, conn); err != nil {
		return databaseFault(err, "was lost")
	}
	d.SchemaVersion, d.RiverVersion, err = readVersions(ctx, conn)
	if err != nil {
		return databaseFault(err, "was lost")
	}
	return nil
}

// commit gives the dump its name, and then the manifest, which makes it a backup.
func (d *making) commit() error {
	text, err := encodeManifest(d.Manifest)
	if err != nil {
		return err
	}
	manifest := d.Name + manifestEnding
	file, err := d.folder.create(manifest)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return d.folder.writing(err, "write "+manifest)
	}
	if err := file.Sync(); err != nil {
		return d.folder.writing(err, "write "+manifest+" to disk")
	}
	if err := d.folder.still(); err != nil {
		return err
	}
	// In this order: a dump beside an unfinished manifest is known to be one that was never finished.
	if err := d.folder.sync(); err != nil {
		return err
	}
	for _, name := range []string{d.File, manifest} {
		if err := d.folder.finish(name); err != nil {
			return err
		}
		d.named = append(d.named, name)
		if err := d.folder.sync(); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what was made of a backup that failed. What can't be removed is swept by the next run.
func (d *making) discard() {
	for _, name := range slices.Backward(append([]string{unfinished(d.File), unfinished(d.Name + manifestEnding)}, d.named...)) {
		_ = d.folder.root.Remove(name) // the manifest first
	}
}

// tell reports progress, a few times a second.
func (d *making) tell(stage string, bytes int64) {
	if d.options.Progress == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.told) >= 250*time.Millisecond {
		d.told = now
		d.options.Progress(Progress{Stage: stage, Bytes: bytes, Total: max(d.total, bytes)})
	}
}
