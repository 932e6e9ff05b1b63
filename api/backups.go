package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/store"
)

// backupsView is the history of backups, and how well the data is kept.
type backupsView struct {
	Data       []backupView `json:"data"`
	NextCursor *string      `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool         `json:"has_more"`

	LastSuccessAt  *time.Time          `json:"last_success_at" doc:"Snapshot of the newest backup that is there"`
	LastVerifiedAt *time.Time          `json:"last_verified_at" doc:"Snapshot of the newest backup that was restored for a try, with everything in it"`
	RPOSeconds     *int64              `json:"rpo_seconds" doc:"What a loss of the database would cost now: the work of so many seconds, which is the age of the newest verified backup (recovery point, as measured)"`
	RTOSeconds     *float64            `json:"rto_seconds" doc:"How long it took to restore that backup, from the file until all data and indexes were there; finding out what happened and bringing the backup from elsewhere come on top (recovery time, as measured)"`
	Running        int                 `json:"running" doc:"Backups that are being made"`
	Schedule       backupScheduleView  `json:"schedule"`
	Retention      backupRetentionView `json:"retention" doc:"As this process was told; the workers apply theirs"`
	Problems       []backupProblemView `json:"problems" doc:"What somebody should see to, the gravest first; empty where all is well"`
	Unmeasured     []unmeasured        `json:"unmeasured" doc:"Why figures are null"`
	GeneratedAt    time.Time           `json:"generated_at"`
}

// backupView is one backup, or a try to make one.
type backupView struct {
	ID           string             `json:"id" format:"uuid"`
	Name         string             `json:"name" doc:"Its files begin with it"`
	State        string             `json:"state" enum:"running,completed,failed,deleted"`
	StartedAt    time.Time          `json:"started_at"`
	FinishedAt   *time.Time         `json:"finished_at"`
	SnapshotAt   *time.Time         `json:"snapshot_at" doc:"What was committed until then is in it"`
	Bytes        *int64             `json:"bytes" doc:"Of the file"`
	PlainBytes   *int64             `json:"plain_bytes" doc:"Before it was compressed and encrypted"`
	SHA256       *string            `json:"sha256" doc:"Of the file, in hexadecimal"`
	Encrypted    *bool              `json:"encrypted"`
	Places       []string           `json:"places" doc:"Where it is: folder, of the host; remote, the bucket"`
	Tables       *int               `json:"tables"`
	Rows         *int64             `json:"rows" doc:"Of all tables"`
	Verification verificationView   `json:"verification"`
	Error        *backupProblemView `json:"error" doc:"Why it failed"`
	JobID        *string            `json:"job_id" format:"uuid" doc:"null: a command made it"`
	Host         string             `json:"host" doc:"That made it, or has it in its folder"`
}

type verificationView struct {
	State          string     `json:"state" enum:"none,running,passed,failed,impossible" doc:"impossible: nothing was found out, as for want of the key"`
	At             *time.Time `json:"at"`
	RestoreSeconds *float64   `json:"restore_seconds"`
	Detail         *string    `json:"detail" doc:"What was wrong, or left out"`
}

type backupScheduleView struct {
	Cron      *string    `json:"cron" doc:"In UTC; null: the clock starts none"`
	NextRunAt *time.Time `json:"next_run_at"`
	LastRunAt *time.Time `json:"last_run_at"`
}

// BackupRetention is how long backups are kept: days alone, or the newest of so many days, weeks and months.
type BackupRetention struct {
	Days                   int
	Daily, Weekly, Monthly int
}

type backupRetentionView struct {
	Days    *int `json:"days" doc:"null: counted by the others"`
	Daily   int  `json:"daily"`
	Weekly  int  `json:"weekly"`
	Monthly int  `json:"monthly"`
}

type backupProblemView struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy" doc:"What to do"`
}

// Schema implements huma.SchemaProvider.
func (*backupProblemView) Schema(huma.Registry) *huma.Schema {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	return nullableObject("What is wrong, or null", map[string]*huma.Schema{
		"code": text("For programs"), "detail": text("What is wrong"), "remedy": text("What to do")})
}

type backupsInput struct{ PageQuery }

type backupsOutput struct{ Body backupsView }

// listBackups tells the operator of the backups, and what is wrong with them.
func (s *Server) listBackups(ctx context.Context, in *backupsInput) (*backupsOutput, error) {
	before, err := parseCursor(in.Cursor, "backups")
	if err != nil {
		return nil, err
	}
	o, err := inTime(ctx, func(ctx context.Context) (store.BackupOverview, error) {
		return s.DB.BackupOverview(ctx, before, in.Limit+1)
	})
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	rows := pageOf(o.Page, in.Limit, func(b store.ShownBackup) string { return b.ID }, "backups")
	v := backupsView{NextCursor: rows.NextCursor, HasMore: rows.HasMore, Data: make([]backupView, len(rows.Data)), Running: o.Running,
		Retention: s.BackupRetention.view(), Problems: backupProblems(o, now), GeneratedAt: now}
	for i, b := range rows.Data {
		v.Data[i] = backupViewOf(b)
	}
	v.stands(o, now)
	return &backupsOutput{v}, nil
}

func (r BackupRetention) view() backupRetentionView {
	v := backupRetentionView{Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly}
	if r.Days > 0 {
		v.Days = &r.Days
	}
	return v
}

// stands fills in what is known of the whole.
func (v *backupsView) stands(o store.BackupOverview, now time.Time) {
	v.Unmeasured = []unmeasured{}
	if o.Newest == nil {
		v.Unmeasured = append(v.Unmeasured, unmeasured{"last_success_at", "there is no backup"})
	} else {
		v.LastSuccessAt = utc(o.Newest.SnapshotAt)
	}
	if p := o.Proven; p == nil {
		const why = "no backup that is there was restored for a try, and one that wasn't is a hope"
		v.Unmeasured = append(v.Unmeasured, unmeasured{"last_verified_at", why}, unmeasured{"rpo_seconds", why}, unmeasured{"rto_seconds", why})
	} else {
		age := max(0, int64(now.Sub(*p.SnapshotAt).Seconds()))
		v.LastVerifiedAt, v.RPOSeconds, v.RTOSeconds = utc(p.SnapshotAt), &age, p.RestoreSeconds
	}
	if s := o.Schedule; s != nil {
		v.Schedule = backupScheduleView{&s.Cron, utc(&s.NextRunAt), utc(s.LastRunAt)}
	}
}

func backupViewOf(b store.ShownBackup) backupView {
	v := backupView{ID: b.ID, Name: b.Name, State: b.State, StartedAt: b.StartedAt.UTC(), FinishedAt: utc(b.FinishedAt), SnapshotAt: utc(b.SnapshotAt),
		Bytes: b.Bytes, PlainBytes: b.PlainBytes, SHA256: b.SHA256, Encrypted: b.Encrypted, Places: b.Places, Tables: b.Tables, Rows: b.Rows,
		Verification: verificationView{State: "none"}, JobID: b.JobID, Host: b.Host}
	if v.Places == nil {
		v.Places = []string{}
	}
	if t := b.Trial(); t != nil {
		at := t.FinishedAt.UTC()
		v.Verification.State, v.Verification.At = t.State, &at
		if t.RestoreSeconds > 0 {
			v.Verification.RestoreSeconds = &t.RestoreSeconds
		}
		if t.Detail != "" {
			v.Verification.Detail = &t.Detail
		}
	}
	if b.Tried {
		v.Verification.State = "running"
	}
	if p := b.Problem(); p != nil {
		v.Error = &backupProblemView{p.Code, p.Detail, p.Remedy}
	}
	return v
}
