package events

import "time"

// The facts about backups and indexes belong to the organization of the admin key: they are the installation's.

// BackupCompleted says that a dump and its manifest are on disk. Whether it can be restored is not known yet.
type BackupCompleted struct {
	BackupID   string    `json:"backup_id"`
	Name       string    `json:"name"`
	JobID      string    `json:"job_id"` // "" for a backup that a command made
	SnapshotAt time.Time `json:"snapshot_at"`
	Bytes      int64     `json:"bytes"`
	Tables     int       `json:"tables"`
	Rows       int64     `json:"rows"`
	Encrypted  bool      `json:"encrypted"`
	Places     []string  `json:"places"` // folder, remote
	Version    int64     `json:"version"`
}

// EventType implements Fact.
func (BackupCompleted) EventType() string { return "backup.completed" }

// Aggregate implements Fact.
func (f BackupCompleted) Aggregate() (string, int64) { return f.BackupID, f.Version }

// BackupFailed says that a backup was not made, or was found to be no good.
type BackupFailed struct {
	BackupID string `json:"backup_id"`
	Name     string `json:"name"`
	JobID    string `json:"job_id"`
	Stage    string `json:"stage"` // backup or verification
	Code     string `json:"code"`  // such as disk_full
	Version  int64  `json:"version"`
}

// EventType implements Fact.
func (BackupFailed) EventType() string { return "backup.failed" }

// Aggregate implements Fact.
func (f BackupFailed) Aggregate() (string, int64) { return f.BackupID, f.Version }

// BackupVerified says that a backup was restored, and that all was there.
type BackupVerified struct {
	BackupID       string  `json:"backup_id"`
	Name           string  `json:"name"`
	JobID          string  `json:"job_id"`
	RestoreSeconds float64 `json:"restore_seconds"`
	Tables         int     `json:"tables"`
	Rows           int64   `json:"rows"`
	Version        int64   `json:"version"`
}

// EventType implements Fact.
func (BackupVerified) EventType() string { return "backup.verified" }

// Aggregate implements Fact.
func (f BackupVerified) Aggregate() (string, int64) { return f.BackupID, f.Version }

// IndexHealthSampled says that the counters of all indexes were written down.
type IndexHealthSampled struct {
	SampleID string         `json:"sample_id"`
	TakenAt  time.Time      `json:"taken_at"`
	Indexes  int            `json:"indexes"`
	Findings map[string]int `json:"findings"` // how many, by kind
	JobID    string         `json:"job_id"`
	Version  int64          `json:"version"`
}

// EventType implements Fact.
func (IndexHealthSampled) EventType() string { return "index_health.sampled" }

// Aggregate implements Fact.
func (f IndexHealthSampled) Aggregate() (string, int64) { return f.SampleID, f.Version }
