// Package backup makes backups of a Postgres database, proves them by restoring them, and restores. A backup is a
// dump of one snapshot, compressed and perhaps encrypted, and a manifest beside it, which is written last: a dump
// without one is rubbish. The folder alone is enough to restore from; no table of ours is needed.
package backup

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
)

// Config says what is backed up, where to, and for how long it is kept.
type Config struct {
	// DatabaseURL leads to the database without a pooler between, by a login that sees every row: the owner of the
	// tables, one with BYPASSRLS, or a superuser. Verification makes databases, so it needs CREATEDB as well.
	DatabaseURL string
	// VerifyURL leads to a server on which backups are restored for a try; "": that of the database. Its login needs
	// CREATEDB.
	VerifyURL  string
	Dir        string   // where backups are kept, for us alone (0700)
	Recipients []string // age public keys; none: backups are not encrypted
	Identities []string // age secret keys, for verifying and restoring encrypted ones
	// LockID is the session advisory lock that is held throughout: a migration holds the same.
	LockID    int64
	Retention Retention
	Remote    Remote // a second place for backups; nil: none
	PingURL   string // told of each end of a backup; "": nobody is
	Binaries  string // folder of pg_dump and pg_restore; "": those found for the server's version
	Log       *slog.Logger
}

// Retention says which backups stay. Days counts alone where no other is set; else the newest of each of the last
// so many days, weeks and months stays. The newest good and the newest verified backup stay in any case.
type Retention struct {
	Days                   int
	Daily, Weekly, Monthly int
}

// A Keeper keeps the backups of one database. It is safe for use by several goroutines and processes: making,
// removing and sweeping happen under the lock.
type Keeper struct {
	Config
	recipients []age.Recipient
	identities []age.Identity
	now        func() time.Time
	patience   time.Duration // with the lock of backups and migrations
	tableWait  time.Duration // with a table that is locked
	hashBytes  int64         // of tables whose rows are hashed as well as counted, in all
	spreadFrom int64         // bytes of an archive from which on several sessions restore it
	copies     sync.Mutex    // held by whoever copies
	pings      *http.Client
	pingPause  time.Duration // before the second try
}

// New checks the keys of a configuration; what else is wrong shows in use, with what to do.
func New(c Config) (*Keeper, error) {
	k := &Keeper{Config: c, now: time.Now, patience: lockPatience, tableWait: tableWait, hashBytes: hashBytes, spreadFrom: spreadFrom,
		pings: &http.Client{CheckRedirect: stayHere}, pingPause: time.Second}
	k.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the backup folder's name: %w", err)
	}
	k.Dir = dir
	for _, text := range c.Recipients {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, fmt.Errorf("read the public key %q: %w", text, err)
		}
		k.recipients = append(k.recipients, r)
	}
	for i, text := range c.Identities {
		identity, err := age.ParseX25519Identity(text)
		if err != nil {
			return nil, fmt.Errorf("read secret key %d: it is no age secret key", i+1) // and stays a secret
		}
		k.identities = append(k.identities, identity)
	}
	return k, nil
}
