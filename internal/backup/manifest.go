package backup

import "time"

// manifestFormat is the version of the manifest that this program writes. It reads this one and all before.
const manifestFormat = 1

// A Manifest says what a backup is, and what must be found when it is restored. It is written after the dump is on
// disk, and not changed afterwards.
type Manifest struct {
	Format     int       `json:"format"`
	ID         string    `json:"id"`   // UUIDv7
	Name       string    `json:"name"` // payaid_YYYYMMDD_HHMMSS
	File       string    `json:"file"` // of the dump, in the same folder
	Host       string    `json:"host"` // that made it
	JobID      string    `json:"job_id,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	SnapshotAt time.Time `json:"snapshot_at"` // what is committed until then is in it
	FinishedAt time.Time `json:"finished_at"` // of the dump

	Database      string `json:"database"`
	ServerVersion string `json:"server_version"`
	ServerMajor   int    `json:"server_major"`
	ClientVersion string `json:"client_version"`
	LSN           string `json:"lsn"` // of the snapshot
	Encoding      string `json:"encoding"`
	Collate       string `json:"collate"`
	Ctype         string `json:"ctype"`

	Codec       string   `json:"codec"` // zstd
	Recipients  []string `json:"recipients"`
	Bytes       int64    `json:"bytes"`        // of the file
	SHA256      string   `json:"sha256"`       // of the file
	PlainBytes  int64    `json:"plain_bytes"`  // of pg_dump's archive
	PlainSHA256 string   `json:"plain_sha256"` // of pg_dump's archive

	Tables        []Table     `json:"tables"`    // by name
	Sequences     []Sequence  `json:"sequences"` // by name
	Extensions    []Extension `json:"extensions"`
	Roles         []string    `json:"roles"`          // that own something or were granted something, names alone
	SchemaVersion int64       `json:"schema_version"` // of the product's migrations
	RiverVersion  int         `json:"river_version"`

	Checksum string `json:"checksum"` // sha256 of this document without it
}

// A Table is what the snapshot holds of a table.
type Table struct {
	Name string `json:"name"` // with its schema, quoted as Postgres does
	Rows int64  `json:"rows"`
	// Hash is the same for the same rows in any order; "" where it was left out.
	Hash string `json:"hash,omitempty"`
}

// A Sequence is where one stood.
type Sequence struct {
	Name   string `json:"name"`
	Last   int64  `json:"last"`
	Called bool   `json:"called"`
}

// An Extension is installed in the database.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Rows counts those of all tables.
func (m Manifest) Rows() (n int64) {
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}

// Encrypted reports whether a key is needed to read it.
func (m Manifest) Encrypted() bool { return len(m.Recipients) > 0 }

// A Verification is what came of restoring a backup for a try. It is kept beside the manifest.
type Verification struct {
	Name           string    `json:"name"` // of the backup
	SHA256         string    `json:"sha256"`
	StartedAt      time.Time `json:"started_at"`
	FinishedAt     time.Time `json:"finished_at"`
	State          string    `json:"state"`           // passed, failed, or impossible: nothing was found out
	RestoreSeconds float64   `json:"restore_seconds"` // from the file until all data and indexes are there; 0: not reached
	Tables         int       `json:"tables"`          // compared
	Rows           int64     `json:"rows"`            // compared
	IndexesChecked int       `json:"indexes_checked"` // by amcheck; 0 where the server lacks it
	ServerVersion  string    `json:"server_version"`  // that it was restored into
	Host           string    `json:"host"`
	Code           string    `json:"code,omitempty"`   // of what was wrong
	Detail         string    `json:"detail,omitempty"` // what was wrong, or left out
}

// States of a verification.
const (
	Passed     = "passed"
	Failed     = "failed"
	Impossible = "impossible"
)

// An Entry is a backup as it lies in the folder or in the remote place.
type Entry struct {
	Name         string
	Manifest     *Manifest     // nil: there is none that can be read
	Verification *Verification // nil: nobody tried yet
	Places       []string      // folder, remote
	Problem      *Fault        // why it can't be used; nil: nothing is known against it
}

// Places of backups.
const (
	InFolder = "folder"
	InRemote = "remote"
)

// Good reports whether a backup is complete as far as can be seen without restoring it.
func (e Entry) Good() bool { return e.Manifest != nil && e.Problem == nil }

// Verified reports whether it was restored, and all was there.
func (e Entry) Verified() bool {
	return e.Good() && e.Verification != nil && e.Verification.State == Passed && e.Verification.SHA256 == e.Manifest.SHA256
}

// Disproved reports whether it was restored, or read, for a try and turned out to be no good.
func (e Entry) Disproved() bool {
	return e.Manifest != nil && e.Verification != nil && e.Verification.State == Failed && e.Verification.SHA256 == e.Manifest.SHA256
}

// ofTheFile reports whether what was wrong is the file that was read, of which there may be another copy.
func (v Verification) ofTheFile() bool {
	return v.State == Failed && (v.Code == Corrupted || v.Code == Truncated)
}
