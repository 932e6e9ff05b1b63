package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// A keptBackup is a row of the history as a test writes it down.
type keptBackup struct {
	ago      time.Duration // since it was begun, and since its snapshot
	state    string
	places   string // of Postgres
	trial    string // passed, failed, impossible; "": none
	problem  string // its code
	manifest string // in place of the usual one
	job      *string
}

func (g *rig) backup(t testing.TB, b keptBackup) (id, name string) {
	t.Helper()
	at := time.Now().Add(-b.ago).UTC()
	id, name = outbox.NewID(), at.Format("payaid_20060102_150405")
	var snapshot, finished *time.Time
	var bytes *int64
	var manifest, problem, trial, verified, seconds any
	if b.state != store.BackupRunning {
		finished = &at
	}
	if b.state == store.BackupCompleted || b.state == store.BackupDeleted {
		size := int64(1000)
		snapshot, bytes = &at, &size
		manifest = `{"sha256":"` + strings.Repeat("a", 64) + `","plain_bytes":5000,"recipients":["age1x"],"tables":[{"name":"a","rows":3},{"name":"b","rows":39}]}`
		if b.manifest != "" {
			manifest = b.manifest
		}
	}
	if b.problem != "" {
		problem = fmt.Sprintf(`{"code":%q,"detail":"what was wrong","remedy":"what to do"}`, b.problem)
	}
	if b.trial != "" {
		text, err := json.Marshal(map[string]any{"state": b.trial, "finished_at": at.Add(time.Minute), "restore_seconds": 12.5, "code": "different", "detail": "why"})
		if err != nil {
			t.Fatal(err)
		}
		trial = string(text)
		if b.trial == "passed" {
			verified, seconds = at.Add(time.Minute), 12.5
		}
	}
	places := b.places
	if places == "" {
		places = "{folder}"
	}
	g.execute(t, `INSERT INTO backups (id, name, state, host, job_id, places, manifest, error, started_at, snapshot_at, finished_at, bytes, verification, verified_at, restore_seconds)
		VALUES ($1, $2, $3, 'one', $4, $5::text[], $6::jsonb, $7::jsonb, $8, $9, $10, $11, $12::jsonb, $13, $14)`,
		id, name, b.state, b.job, places, manifest, problem, at, snapshot, finished, bytes, trial, verified, seconds)
	return id, name
}

// ticks notes when the clock last started a backup, and when it does next.
func (g *rig) ticks(t testing.TB, last, next string) {
	t.Helper()
	g.execute(t, `INSERT INTO schedules (name, kind, cron, last_run_at, next_run_at) VALUES ('db.backup', 'db.backup', '0 2 * * *', now() + $1::interval, now() + $2::interval)
		ON CONFLICT (name) DO UPDATE SET last_run_at = excluded.last_run_at, next_run_at = excluded.next_run_at`, last, next)
}

// operatorsJob is a job of the operator's organization; an output ends it.
func (g *rig) operatorsJob(t testing.TB, id, kind, status, input, output string) {
	t.Helper()
	g.execute(t, `INSERT INTO jobs (organization_id, id, kind, queue, status, input, output, finished_at, max_attempts, event_id)
		VALUES ($1, $2, $3, 'maintenance', $4, $5::jsonb, nullif($6, '')::jsonb, CASE WHEN $6 <> '' THEN now() END, 3, gen_random_uuid())`,
		store.OperatorOrganization, id, kind, status, input, output)
}

func (g *rig) backups(t testing.TB, query string) (v backupsView) {
	t.Helper()
	g.call(t, testAdminKey, "GET", "/api/system/backups"+query, "").want(200).json(&v)
	return v
}

func problemCodes(v backupsView) (codes []string) {
	for _, p := range v.Problems {
		codes = append(codes, p.Code)
	}
	return codes
}

func TestBackupsOfNobody(t *testing.T) {
	t.Parallel()
	v := newRig(t).backups(t, "")
	if len(v.Data) != 0 || v.HasMore || v.NextCursor != nil || v.LastSuccessAt != nil || v.RPOSeconds != nil || v.RTOSeconds != nil || v.Schedule.Cron != nil {
		t.Errorf("got %+v", v)
	}
	for _, figure := range []string{"last_success_at", "last_verified_at", "rpo_seconds", "rto_seconds"} {
		if !has(v.Unmeasured, figure) {
			t.Errorf("nobody says why %s is null", figure)
		}
	}
	if got := problemCodes(v); !slices.Equal(got, []string{"no_backup", "no_schedule"}) {
		t.Errorf("the problems are %v", got)
	}
}

func TestBackupsAreShown(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.BackupRetention = BackupRetention{Days: 30} })
	g.ticks(t, "-10 hours", "14 hours")
	_, deleted := g.backup(t, keptBackup{ago: 60 * 24 * time.Hour, state: "deleted", places: "{}", manifest: `{"tables":null,"recipients":null}`})
	g.backup(t, keptBackup{ago: 50 * time.Hour, state: "failed", problem: "disk_full"})
	proven, _ := g.backup(t, keptBackup{ago: 34 * time.Hour, state: "completed", trial: "passed", places: "{folder,remote}"})
	newest, name := g.backup(t, keptBackup{ago: 10 * time.Hour, state: "completed", places: "{folder,remote}"})
	running, _ := g.backup(t, keptBackup{ago: time.Minute, state: "running", places: "{}"})
	v := g.backups(t, "")
	if len(v.Data) != 5 || v.HasMore || v.Running != 1 || v.Data[0].ID != running || v.Data[1].ID != newest || v.Data[4].Name != deleted {
		t.Fatalf("got %+v", v.Data)
	}
	b := v.Data[1]
	if b.Name != name || *b.Bytes != 1000 || *b.PlainBytes != 5000 || len(*b.SHA256) != 64 || !*b.Encrypted || *b.Tables != 2 || *b.Rows != 42 ||
		!slices.Equal(b.Places, []string{"folder", "remote"}) || b.Verification.State != "none" || b.Host != "one" || b.Error != nil || b.SnapshotAt.Location() != time.UTC {
		t.Errorf("got %+v", b)
	}
	if p := v.Data[2]; p.ID != proven || p.Verification.State != "passed" || *p.Verification.RestoreSeconds != 12.5 || *p.Verification.Detail != "why" {
		t.Errorf("got %+v", p)
	}
	if f := v.Data[3]; f.State != "failed" || f.Error == nil || f.Error.Code != "disk_full" || f.Error.Remedy != "what to do" || f.Bytes != nil || f.Encrypted != nil || f.Rows != nil {
		t.Errorf("got %+v", f)
	}
	if d := v.Data[4]; *d.Encrypted || d.Tables != nil || d.Rows != nil || len(d.Places) != 0 {
		t.Errorf("got %+v", d)
	}
	near := func(got *int64, want time.Duration) bool {
		return got != nil && *got >= int64(want.Seconds()) && *got < int64(want.Seconds())+60
	}
	if !v.LastSuccessAt.Equal(*b.SnapshotAt) || !v.LastVerifiedAt.Equal(*v.Data[2].SnapshotAt) || !near(v.RPOSeconds, 34*time.Hour) || *v.RTOSeconds != 12.5 {
		t.Errorf("it stands %+v", v)
	}
	if *v.Schedule.Cron != "0 2 * * *" || v.Schedule.NextRunAt == nil || v.Schedule.LastRunAt == nil || *v.Retention.Days != 30 {
		t.Errorf("got %+v, %+v", v.Schedule, v.Retention)
	}
	if len(v.Problems)+len(v.Unmeasured) != 0 {
		t.Errorf("got %+v, %+v", v.Problems, v.Unmeasured)
	}
	// Whoever restores it for a try right now.
	g.operatorsJob(t, outbox.NewID(), "db.backup_verify", "running", `{"name":"`+name+`"}`, "")
	if v = g.backups(t, ""); v.Data[1].Verification.State != "running" || v.Data[2].Verification.State != "passed" {
		t.Errorf("got %+v", v.Data[:3])
	}
}

func TestBackupsInPages(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var want []string
	for i := range 7 {
		id, _ := g.backup(t, keptBackup{ago: time.Duration(i) * time.Hour, state: "failed", problem: "busy"})
		want = append(want, id)
	}
	var got []string
	query := "?limit=3"
	for range 4 {
		v := g.backups(t, query)
		for _, b := range v.Data {
			got = append(got, b.ID)
		}
		if !v.HasMore {
			break
		}
		query = "?limit=3&cursor=" + *v.NextCursor
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// The row that a cursor names may be gone: one that was put off leaves none.
	first := g.backups(t, "?limit=1")
	g.execute(t, `DELETE FROM backups WHERE id = $1`, want[0])
	if v := g.backups(t, "?limit=9&cursor="+*first.NextCursor); len(v.Data) != 6 {
		t.Errorf("behind a row that is gone there are %d", len(v.Data))
	}
	g.call(t, testAdminKey, "GET", "/api/system/backups?cursor=x", "").problem(400, "invalid_cursor")
	_, key := g.organization(t)
	g.call(t, key, "GET", "/api/system/backups", "").problem(403, "forbidden")
}

// What somebody should see to is said, once, and with what to do.
func TestProblemsOfBackups(t *testing.T) {
	t.Parallel()
	job := outbox.NewID()
	for name, c := range map[string]struct {
		last, next string // of the clock; "": it starts none
		rows       []keptBackup
		want       []string
	}{
		"all is well":               {"-1 hour", "23 hours", []keptBackup{{ago: time.Hour, state: "completed", trial: "passed"}}, nil},
		"made, and tried soon":      {"-10 minutes", "23 hours", []keptBackup{{ago: 10 * time.Minute, state: "completed"}}, nil},
		"never tried":               {"-3 hours", "21 hours", []keptBackup{{ago: 3 * time.Hour, state: "completed"}}, []string{"unverified"}},
		"tried long ago":            {"-3 hours", "21 hours", []keptBackup{{ago: 75 * time.Hour, state: "completed", trial: "passed"}, {ago: 3 * time.Hour, state: "completed"}}, []string{"unverified"}},
		"no good":                   {"-3 hours", "21 hours", []keptBackup{{ago: 3 * time.Hour, state: "completed", trial: "failed"}}, []string{"different"}},
		"not to be tried":           {"-3 hours", "21 hours", []keptBackup{{ago: 3 * time.Hour, state: "completed", trial: "impossible"}}, []string{"different"}},
		"the last one failed":       {"-10 minutes", "23 hours", []keptBackup{{ago: 24 * time.Hour, state: "completed", trial: "passed"}, {ago: 10 * time.Minute, state: "failed", problem: "disk_full"}}, []string{"disk_full"}},
		"one failed before":         {"-1 hour", "23 hours", []keptBackup{{ago: 2 * time.Hour, state: "failed", problem: "disk_full"}, {ago: time.Hour, state: "completed", trial: "passed"}}, nil},
		"no worker":                 {"-49 hours", "-25 hours", []keptBackup{{ago: 49 * time.Hour, state: "completed", trial: "passed"}}, []string{"schedule_late"}},
		"nobody has a folder":       {"-2 hours", "22 hours", []keptBackup{{ago: 26 * time.Hour, state: "completed", trial: "passed"}}, []string{"overdue"}},
		"a long one":                {"-2 hours", "22 hours", []keptBackup{{ago: 26 * time.Hour, state: "completed", trial: "passed"}, {ago: 2 * time.Hour, state: "running"}}, nil},
		"without a clock":           {"", "", []keptBackup{{ago: time.Hour, state: "completed", trial: "passed"}}, []string{"no_schedule"}},
		"without its copy":          {"-2 hours", "22 hours", []keptBackup{{ago: 26 * time.Hour, state: "completed", places: "{folder,remote}"}, {ago: 2 * time.Hour, state: "completed", trial: "passed"}}, []string{"not_copied"}},
		"its copy was refused":      {"-1 minute", "23 hours", []keptBackup{{ago: time.Minute, state: "completed", trial: "passed", job: &job}}, []string{"not_copied"}},
		"its copy came in the end":  {"-1 minute", "23 hours", []keptBackup{{ago: time.Minute, state: "completed", trial: "passed", job: &job, places: "{folder,remote}"}}, nil},
		"the copy is on its way":    {"-1 minute", "23 hours", []keptBackup{{ago: 25 * time.Hour, state: "completed", places: "{folder,remote}", trial: "passed"}, {ago: time.Minute, state: "completed", trial: "passed"}}, nil},
		"everything that was is no": {"-2 hours", "22 hours", []keptBackup{{ago: 2 * time.Hour, state: "deleted", places: "{}"}}, []string{"no_backup", "overdue"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			if c.last != "" {
				g.ticks(t, c.last, c.next)
			}
			g.operatorsJob(t, job, "db.backup", "succeeded", `{}`, `{"not_copied":"the bucket is not there"}`)
			for _, b := range c.rows {
				g.backup(t, b)
			}
			v := g.backups(t, "")
			if got := problemCodes(v); !slices.Equal(got, c.want) {
				t.Errorf("the problems are %+v, want %v", v.Problems, c.want)
			}
			for _, p := range v.Problems {
				if p.Detail == "" || p.Remedy == "" {
					t.Errorf("got %+v", p)
				}
			}
		})
	}
}
