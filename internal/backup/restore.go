package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// RestoreOptions say what is restored, and where to.
type RestoreOptions struct {
	// Name is that of a backup in the folder or the remote place; "" or Latest: the newest that nobody found to be no
	// good. One that somebody did is restored by its name alone.
	Name     string
	Path     string // of a dump or manifest anywhere, instead of a name
	Database string // that is made, on the server of the Keeper's address
	Replace  bool   // a database of that name is kept under another, and the restored one takes its place
	Progress func(Progress)
	// Revive brings the tables into a state that the product can go on from, in the restored database and before
	// it has its name; nil: it stays as it was dumped.
	Revive func(ctx context.Context, databaseURL string) error
	// Cutover runs while nobody can reach a database of the name, just before the restored one gets it; nil: nothing
	// is to be done. Its error leaves everything as it was.
	Cutover func(context.Context) error
}

// A RestorePlan is what a restore would do.
type RestorePlan struct {
	Manifest   Manifest
	Database   string
	Before     string   // what the present database of that name would be called; "": there is none
	Sessions   int      // of others, that would be ended
	NewRoles   []string // that would be made
	Server     string   // its version
	SnapshotAt time.Time
	PassedOver []PassedOver // newer backups that it isn't, the newest first
	Doubt      string       // why it may be no good: somebody restored it for a try; "": nobody says so
}

// Restored is what a restore did.
type Restored struct {
	Manifest   Manifest
	Database   string
	Before     string        // where the database is that had the name; "": there was none
	NewRoles   []string      // that were made, without a right to log in
	Tables     int           // that were compared with the manifest
	Rows       int64         // that were compared with the manifest
	Took       time.Duration // from the file until all was restored and compared
	Lost       time.Duration // what was written during this time before the restore is not in it
	Notes      []string
	RestoredAt time.Time
}

// PlanRestore looks at what Restore would find, and refuses what it would refuse, but restores nothing. It only
// removes what killed runs left.
func (k *Keeper) PlanRestore(ctx context.Context, o RestoreOptions) (RestorePlan, error) {
	r, err := k.prepare(ctx, o)
	if err != nil {
		return RestorePlan{}, err
	}
	defer r.close(ctx)
	return r.plan, nil
}

// Restore makes a database of a backup. It works beside the name that it is for, and compares every table with the
// manifest before it takes the name: what fails on the way, or is killed, leaves nothing that looks complete, and a
// database that was there as it was.
func (k *Keeper) Restore(ctx context.Context, o RestoreOptions) (Restored, error) {
	r, err := k.prepare(ctx, o)
	if err != nil {
		return Restored{}, err
	}
	defer r.close(ctx)
	return r.run(ctx)
}

// A restore under way.
type restore struct {
	k       *Keeper
	o       RestoreOptions
	tell    *teller
	archive *archive
	client  client
	conn    *pgx.Conn
	super   bool // the login is a superuser
	plan    RestorePlan
}

// longestName is that of a database.
const longestName = 63

func (k *Keeper) prepare(ctx context.Context, o RestoreOptions) (*restore, error) {
	if o.Database == "" || len(o.Database) > longestName || strings.ContainsRune(o.Database, 0) {
		return nil, &Fault{Code: CannotRestore, Detail: fmt.Sprintf("%q can't be the name of a database", o.Database),
			Remedy: fmt.Sprintf("give a name of at most %d characters", longestName)}
	}
	r := &restore{k: k, o: o, tell: &teller{to: o.Progress}}
	err := r.open(ctx)
	if err == nil {
		err = r.lookAtServer(ctx)
	}
	if err == nil {
		err = r.lookAtTarget(ctx)
	}
	if err != nil {
		r.close(ctx)
		return nil, err
	}
	return r, nil
}

// open finds the backup, and a key that opens it.
func (r *restore) open(ctx context.Context) (err error) {
	switch {
	case r.o.Path != "":
		if r.archive, err = findAt(r.o.Path); err == nil {
			r.plan.Doubt = doubtBeside(r.o.Path, r.archive.Manifest)
		}
	case r.o.Name == "" || r.o.Name == Latest:
		var name string
		if name, r.plan.PassedOver, err = r.k.newestSound(ctx); err != nil {
			return err
		}
		r.archive, err = r.k.find(ctx, name, r.tell)
	default:
		r.plan.Doubt = r.k.doubt(ctx, r.o.Name)
		r.archive, err = r.k.find(ctx, r.o.Name, r.tell)
	}
	if err != nil {
		return err
	}
	u, err := r.k.unpack(ctx, r.archive, &teller{})
	if err == nil {
		u.close()
	}
	return err
}

func (r *restore) lookAtServer(ctx context.Context) error {
	m := r.archive.Manifest
	server, err := inspectServer(ctx, r.k.DatabaseURL, m)
	if err != nil {
		return err
	}
	if r.client, err = findClient(ctx, r.k.Binaries, server.major, "pg_restore"); err != nil {
		return err
	}
	if r.conn, err = connectBeside(ctx, r.k.DatabaseURL); err != nil {
		return err
	}
	r.plan.Manifest, r.plan.SnapshotAt, r.plan.Database, r.plan.Server = m, m.SnapshotAt, r.o.Database, server.version
	if err := r.conn.QueryRow(ctx, aboutLogin).Scan(&r.super); err != nil {
		return serverFault("look at what the login may do", err)
	}
	r.plan.NewRoles, err = absentRoles(ctx, r.conn, m)
	return err
}

func (r *restore) close(ctx context.Context) {
	if r.archive != nil {
		r.archive.close()
	}
	if r.conn != nil {
		closeConn(ctx, r.conn)
	}
}

const aboutLogin = `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`

const aboutTarget = `
SELECT pg_get_userbyid(d.datdba) = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), pg_get_userbyid(d.datdba),
       (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND a.pid <> pg_backend_pid())
FROM pg_database d WHERE d.datname = $1`

// lookAtTarget refuses a name that is taken, or that the login may not take away.
func (r *restore) lookAtTarget(ctx context.Context) error {
	var ours bool
	var owner string
	if slices.Contains([]string{"postgres", "template0", "template1"}, r.o.Database) {
		return &Fault{Code: CannotRestore, Detail: "the database " + r.o.Database + " is the server's own, which others are made from and reached by",
			Remedy: "give another name"}
	}
	err := r.conn.QueryRow(ctx, aboutTarget, r.o.Database).Scan(&ours, &owner, &r.plan.Sessions)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return serverFault("look for the database "+r.o.Database, err)
	}
	if !r.o.Replace {
		return databaseExists(r.o.Database)
	}
	if !ours {
		return &Fault{Code: LoginTooWeak, Detail: fmt.Sprintf("the database %s belongs to %s, and the login may not rename it", r.o.Database, owner),
			Remedy: "restore by a superuser or by that login"}
	}
	if r.conn.Config().Database == r.o.Database {
		return &Fault{Code: LoginTooWeak, Detail: "the login reaches no database of the server but the one to be replaced",
			Remedy: "let it connect to the database postgres"}
	}
	r.plan.Before = beside(r.o.Database, "_before_"+r.k.now().UTC().Format("20060102_150405"))
	return nil
}

// beside is a name with an ending, shortened to what Postgres takes.
func beside(name, ending string) string {
	return name[:min(len(name), longestName-len(ending))] + ending
}

func (r *restore) run(ctx context.Context) (done Restored, err error) {
	began := time.Now()
	m := r.archive.Manifest
	if err := r.check(ctx); err != nil {
		return done, err
	}
	s, err := newScratch(ctx, r.k.DatabaseURL, beside(r.o.Database, "_restoring_"+randomID()), m)
	if err != nil {
		return done, err
	}
	var sw *swap
	c, err := r.fill(ctx, s)
	if err == nil {
		done.Took = time.Since(began)
		sw = &swap{conn: r.conn, address: r.k.DatabaseURL, fresh: s.name, name: r.o.Database, before: r.plan.Before, cutover: r.o.Cutover}
		err = sw.run(ctx)
	}
	if err != nil {
		if left := s.drop(ctx); left != nil {
			r.k.Log.Warn("database of a restore is left behind", "database", s.name, "error", left)
		}
		return done, err
	}
	s.close(ctx)
	done.Manifest, done.Database, done.Before = m, r.o.Database, r.plan.Before
	done.NewRoles = s.roles
	done.Tables, done.Rows, done.Notes = c.tables, c.rows, c.notes
	for _, sql := range sw.refused {
		done.Notes = append(done.Notes, "the login may not do what a superuser should: "+sql)
	}
	done.RestoredAt = r.k.now().UTC()
	done.Lost = done.RestoredAt.Sub(m.SnapshotAt)
	return done, nil
}

// check reads the archive to its end. A file that is spoilt here may be whole in the remote place, which is then
// restored from.
func (r *restore) check(ctx context.Context) error {
	err := r.archive.check(ctx, r.tell)
	var fault *Fault
	if r.o.Path != "" || r.k.Remote == nil || !errors.As(err, &fault) || fault.Code != Corrupted && fault.Code != Truncated {
		return err
	}
	fetched, away := r.k.fetch(ctx, r.archive.Name, r.tell)
	if away != nil {
		r.k.Log.Warn("no other copy of the backup could be fetched", "name", r.archive.Name, "error", away)
		return err
	}
	if fetched.SHA256 != r.archive.SHA256 || fetched.check(ctx, r.tell) != nil {
		fetched.close()
		return err
	}
	r.k.Log.Warn("the folder's copy of the backup is spoilt, and that of the remote place is restored", "name", r.archive.Name, "detail", fault.Detail)
	r.archive.close()
	r.archive = fetched
	return nil
}

// fill restores into the database in the making, and makes sure that all is there.
func (r *restore) fill(ctx context.Context, s *scratch) (*comparison, error) {
	into := restoring{client: r.client, url: s.url, tell: r.tell, owners: r.super}
	if err := r.k.restoreArchive(ctx, r.archive, into); err != nil {
		return nil, err
	}
	c, err := r.compare(ctx, s.url)
	if err != nil {
		return nil, err
	}
	if r.o.Revive != nil {
		if err := r.o.Revive(ctx, s.url); err != nil {
			return nil, serverFault("bring the restored database to life", err)
		}
	}
	if r.super && r.plan.Before == "" {
		if err := ownTables(ctx, s.url, s.name); err != nil {
			return nil, err
		}
	}
	// Without statistics the first queries would be planned as if every table were empty.
	return c, r.analyze(ctx, s.url)
}

func (r *restore) compare(ctx context.Context, url string) (*comparison, error) {
	conn, err := openOn(ctx, url, "")
	if err != nil {
		return nil, serverFault("connect to the restored database", err)
	}
	defer closeConn(ctx, conn)
	c, err := compare(ctx, conn, r.archive.Manifest, r.tell)
	if err != nil {
		return nil, err
	}
	return c, c.err()
}

func (r *restore) analyze(ctx context.Context, url string) error {
	conn, err := openOn(ctx, url, "")
	if err != nil {
		return serverFault("connect to the restored database", err)
	}
	defer closeConn(ctx, conn)
	_, err = conn.Exec(ctx, `ANALYZE`)
	return serverFault("gather statistics", err)
}
