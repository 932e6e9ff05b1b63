package operator

import "time"

// Backups are the history of backups, and how well the data is kept: GET /api/system/backups.
type Backups struct {
	Data           []Backup        `json:"data"`
	NextCursor     *string         `json:"next_cursor"`
	HasMore        bool            `json:"has_more"`
	LastSuccessAt  *time.Time      `json:"last_success_at"`
	LastVerifiedAt *time.Time      `json:"last_verified_at"`
	RPOSeconds     *int64          `json:"rpo_seconds"`
	RTOSeconds     *float64        `json:"rto_seconds"`
	Running        int             `json:"running"`
	Schedule       BackupSchedule  `json:"schedule"`
	Retention      BackupRetention `json:"retention"`
	Problems       []BackupProblem `json:"problems"`
	Unmeasured     []MissingFigure `json:"unmeasured"`
	GeneratedAt    time.Time       `json:"generated_at"`
}

// A Backup is one backup, or a try to make one.
type Backup struct {
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	State        string             `json:"state"` // running, completed, failed, deleted
	StartedAt    time.Time          `json:"started_at"`
	FinishedAt   *time.Time         `json:"finished_at"`
	SnapshotAt   *time.Time         `json:"snapshot_at"`
	Bytes        *int64             `json:"bytes"`
	PlainBytes   *int64             `json:"plain_bytes"`
	SHA256       *string            `json:"sha256"`
	Encrypted    *bool              `json:"encrypted"`
	Places       []string           `json:"places"`
	Tables       *int               `json:"tables"`
	Rows         *int64             `json:"rows"`
	Verification BackupVerification `json:"verification"`
	Error        *BackupProblem     `json:"error"`
	JobID        *string            `json:"job_id"`
	Host         string             `json:"host"`
}

// A BackupVerification is what came of the last try to restore a backup.
type BackupVerification struct {
	State          string     `json:"state"` // none, running, passed, failed, impossible
	At             *time.Time `json:"at"`
	RestoreSeconds *float64   `json:"restore_seconds"`
	Detail         *string    `json:"detail"`
}

// A BackupSchedule is when the clock makes backups, in UTC.
type BackupSchedule struct {
	Cron      *string    `json:"cron"`
	NextRunAt *time.Time `json:"next_run_at"`
	LastRunAt *time.Time `json:"last_run_at"`
}

// A BackupRetention is how long backups are kept.
type BackupRetention struct {
	Days    *int `json:"days"`
	Daily   int  `json:"daily"`
	Weekly  int  `json:"weekly"`
	Monthly int  `json:"monthly"`
}

// A BackupProblem is something that somebody should see to.
type BackupProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// A MakeBackup asks for a backup.
type MakeBackup struct {
	Verify *bool `json:"verify,omitempty" nullable:"true" doc:"Restore it for a try afterwards; null: yes"`
}
