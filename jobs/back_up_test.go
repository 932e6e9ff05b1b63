package jobs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

func TestBackupIsMadeAndProven(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.contact("Asha Rao", map[string]any{"organization_id": v.firstOrganization()})
	v.keeps()
	j := v.ends(v.ask("db.backup", `{}`), store.Succeeded)
	out := output[made](v, j)
	info, err := os.Stat(filepath.Join(v.dir, out.Name+".dump.zst"))
	if err != nil || info.Size() != out.Bytes || out.Rows == 0 || out.Tables == 0 || out.Seconds <= 0 || strings.Join(out.Places, " ") != "folder" {
		t.Errorf("output %s, file %v", j.Output, err)
	}
	if list := v.progress(j.ID); len(list) == 0 || list[len(list)-1].Done != list[len(list)-1].Total {
		t.Errorf("progress %+v", list)
	}
	if out.Verification == nil {
		t.Fatalf("output %s, want a verification to follow", j.Output)
	}
	v.appears(out.Verification.JobID)
	proof := v.ends(out.Verification.JobID, store.Succeeded)
	proven := output[struct {
		Name, State    string
		RestoreSeconds float64 `json:"restore_seconds"`
		Rows           int64
	}](v, proof)
	if proven.Name != out.Name || proven.State != "passed" || proven.RestoreSeconds <= 0 || proven.Rows != out.Rows {
		t.Errorf("verification %s of %s", proof.Output, j.Output)
	}
	if said := strings.Join(v.lines(j.ID), "\n"); !strings.Contains(said, "a step is over") ||
		!strings.Contains(said, "INFO the backup is made") || !strings.Contains(said, fmt.Sprintf(`"bytes": %d`, out.Bytes)) {
		t.Errorf("the backup said %s", said)
	}
	if said := strings.Join(v.lines(proof.ID), "\n"); !strings.Contains(said, "INFO the backup was tried") || !strings.Contains(said, `"state": "passed"`) {
		t.Errorf("the verification said %s", said)
	}
	v.wantRows("completed")
	v.wantFacts("backup.completed", "backup.verified")
	b, err := v.db.BackupNamed(t.Context(), "")
	if v.must(err); b.JobID == nil || *b.JobID != j.ID || b.VerifiedAt == nil || *b.RestoreSeconds <= 0 || b.SnapshotAt == nil {
		t.Errorf("the history has %+v", b)
	}
	v.nothingLeft()
}

// firstOrganization is a tenant, which the operator is not.
func (v *vault) firstOrganization() (id string) {
	v.t.Helper()
	v.scan(&id, `SELECT id::text FROM organizations WHERE id <> $1 LIMIT 1`, store.OperatorOrganization)
	return id
}

// Whoever wants none gets no verification, and a fact that is told twice starts one.
func TestVerificationFollowsOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.keeps()
	first := output[made](v, v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded))
	if first.Verification != nil {
		t.Errorf("a verification follows: %+v", first)
	}
	second := output[made](v, v.ends(v.ask("db.backup", `{"verify":true}`), store.Succeeded))
	v.appears(second.Verification.JobID)
	v.ends(second.Verification.JobID, store.Succeeded)
	v.exec(`UPDATE river_job SET state = 'available', finalized_at = NULL, scheduled_at = now() WHERE kind = 'db.backup_verify' AND args ->> 'job_id' IS NULL`)
	v.eventually("what the facts started has run again", func() error {
		var open int
		if v.scan(&open, `SELECT count(*) FROM river_job WHERE kind = 'db.backup_verify' AND state <> 'completed'`); open > 0 {
			return errNotYet
		}
		return nil
	})
	var n int
	if v.scan(&n, `SELECT count(*) FROM jobs WHERE kind = 'db.backup_verify'`); n != 1 {
		t.Errorf("%d verifications, want 1", n)
	}
	v.wantFacts("backup.completed", "backup.completed", "backup.verified")
}

func TestCancelledBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.close()
	v.keeps()
	id := v.ask("db.backup", `{}`)
	v.begins()
	v.wantRows("running")
	v.cancel(id)
	v.ends(id, store.Cancelled)
	v.wantRows("failed cancelled")
	v.wantFacts("backup.failed backup cancelled")
	v.nothingLeft()
	v.open()
	v.hurried(v.ask("db.backup", `{"verify":false}`), store.Succeeded)
}

func TestCancelledVerificationLeavesNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.keeps()
	v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded)
	v.close()
	id := v.ask("db.backup_verify", `{}`)
	v.begins()
	v.cancel(id)
	v.ends(id, store.Cancelled)
	v.wantRows("completed")
	v.nothingLeft()
	if b, err := v.db.BackupNamed(t.Context(), ""); err != nil || b.Verification != nil {
		t.Errorf("a try that was given up left %s, %v", b.Verification, err)
	}
	v.open()
	v.hurried(v.ask("db.backup_verify", `{}`), store.Succeeded)
}

// A worker that stops gives the backup back, and the next one makes it anew.
func TestStoppedWorkerGivesTheBackupBack(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.close()
	stop := v.keeps()
	id := v.ask("db.backup", `{"verify":false}`)
	v.begins()
	stop()
	v.wantRows("failed interrupted")
	v.open()
	v.keeps()
	if j := v.ends(id, store.Succeeded); j.Attempt != 1 {
		t.Errorf("attempt %d, want the first still", j.Attempt)
	}
	v.wantRows("failed interrupted", "completed")
	v.nothingLeft()
}

func TestKilledWorkersBackupIsMadeAnew(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.close()
	kill := v.separate()
	id := v.ask("db.backup", `{"verify":false}`)
	v.begins()
	v.wantRows("running")
	kill()
	v.open()
	v.keeps()
	if j := v.ends(id, store.Succeeded); j.Attempt != 2 {
		t.Errorf("attempt %d, want the second", j.Attempt)
	}
	v.wantRows("failed worker_lost", "completed")
	v.wantFacts("backup.failed backup worker_lost", "backup.completed")
	v.nothingLeft()
}

func TestKilledWorkersVerificationIsTriedAnew(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	stop := v.keeps()
	v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded)
	stop()
	v.close()
	kill := v.separate()
	id := v.ask("db.backup_verify", `{}`)
	v.begins()
	kill()
	v.open()
	v.keeps()
	if j := v.ends(id, store.Succeeded); j.Attempt != 2 {
		t.Errorf("attempt %d, want the second", j.Attempt)
	}
	v.wantRows("completed")
	v.nothingLeft()
}

// While one worker makes a backup, another one's waits for it, and neither fails.
func TestBackupsTakeTurns(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.close()
	v.separate()
	first := v.ask("db.backup", `{"verify":false}`)
	v.begins()
	v.keeps()
	second := v.ask("db.backup", `{"verify":false}`)
	reason := v.waits(second)
	if !strings.Contains(reason, "backup") {
		t.Errorf("it waits for %q", reason)
	}
	v.wantRows("running")
	v.open()
	v.ends(first, store.Succeeded)
	v.hurried(second, store.Succeeded)
	v.wantRows("completed", "completed")
}

// A worker without a folder leaves the work to one that has it.
func TestBackupWaitsForAFolder(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	own := v.deps.Backing
	v.deps.Backing = jobs.Backing{}
	stop := v.keeps()
	made, proven := v.ask("db.backup", `{}`), v.ask("db.backup_verify", `{}`)
	for _, id := range []string{made, proven} {
		if reason := v.waits(id); !strings.Contains(reason, "BACKUP_DIR") {
			t.Errorf("it waits for %q", reason)
		}
	}
	stop()
	v.cancel(proven)
	v.deps.Backing = own
	v.keeps()
	if j := v.hurried(made, store.Succeeded); j.Attempt != 1 {
		t.Errorf("attempt %d, want waiting to use up none", j.Attempt)
	}
}

// A backup in another host's folder is that host's to verify; one that is nowhere is nobody's.
func TestVerificationOfWhatIsNotHere(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.keeps()
	j := v.ends(v.ask("db.backup_verify", `{}`), store.Failed)
	if problemCode(j.Error) != "not_found" {
		t.Errorf("without any backup: %s", j.Error)
	}
	out := output[made](v, v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded))
	v.exec(`UPDATE backups SET host = 'the-other-one'`)
	v.must(os.RemoveAll(v.dir))
	id := v.ask("db.backup_verify", `{"name":"`+out.Name+`"}`)
	if reason := v.waits(id); !strings.Contains(reason, "the-other-one") {
		t.Errorf("it waits for %q", reason)
	}
	v.cancel(id)
	j = v.ends(v.ask("db.backup_verify", `{"name":"payaid_20200101_020000"}`), store.Failed)
	if problemCode(j.Error) != "not_found" || !strings.Contains(string(j.Error), "/input/name") {
		t.Errorf("of another name: %s", j.Error)
	}
}

// What an operator must mend fails at once, and says what to do. The backups that there are stay.
func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	stop := v.keeps()
	good := output[made](v, v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded))
	stop()
	v.must(os.Remove(filepath.Join(v.binaries, "pg_dump")))
	v.keeps()
	for range 3 {
		j := v.ends(v.ask("db.backup", `{}`), store.Failed)
		if problemCode(j.Error) != "client_version" || !strings.Contains(string(j.Error), "What to do: ") || j.Attempt != 1 {
			t.Errorf("it fails with %s in attempt %d", j.Error, j.Attempt)
		}
	}
	v.wantRows("completed", "failed client_version", "failed client_version", "failed client_version")
	v.wantFacts("backup.completed", "backup.failed backup client_version", "backup.failed backup client_version", "backup.failed backup client_version")
	if _, err := os.Stat(filepath.Join(v.dir, good.Name+".dump.zst")); err != nil {
		t.Error(err)
	}
	v.nothingLeft()
}

// A fault that may pass is tried again, and says why meanwhile.
func TestBackupIsTriedAgain(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	script := filepath.Join(v.binaries, "pg_dump")
	good, err := os.ReadFile(script)
	v.must(err)
	bad := strings.Replace(string(good), "touch ", "echo 'pg_dump: error: the sky fell' >&2; exit 1; touch ", 1)
	v.must(os.WriteFile(script, []byte(bad), 0o755))
	v.keeps()
	id := v.ask("db.backup", `{"verify":false}`)
	if reason := v.waits(id); !strings.Contains(reason, "the sky fell") {
		t.Errorf("it waits for %q", reason)
	}
	v.wantRows("failed dump_failed")
	v.must(os.WriteFile(script, good, 0o755))
	if j := v.hurried(id, store.Succeeded); j.Attempt != 2 {
		t.Errorf("attempt %d, want the second", j.Attempt)
	}
	v.wantRows("failed dump_failed", "completed")
}

// A machine that slept through several nights makes one backup when it wakes, however many workers look at the clock.
func TestMissedBackupsAreMadeUpForOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.deps.Backing.Cron, v.deps.Backing.Unverified = "0 2 * * *", true
	v.exec(`INSERT INTO schedules (name, kind, cron, next_run_at) VALUES ('db.backup', 'db.backup', '0 2 * * *', now() - interval '3 days')`)
	v.separate()
	v.keeps()
	v.keeps()
	v.wantRows("completed")
	var next time.Time
	v.eventually("the schedule has moved on", func() error {
		if v.scan(&next, `SELECT next_run_at FROM schedules WHERE name = 'db.backup'`); next.Before(time.Now()) {
			return errNotYet
		}
		return nil
	})
	var n int
	if v.scan(&n, `SELECT count(*) FROM jobs WHERE kind = 'db.backup' AND organization_id = $1`, store.OperatorOrganization); n != 1 || next.UTC().Hour() != 2 {
		t.Errorf("%d jobs, the next at %s", n, next)
	}
	// While one waits the clock asks for no second one.
	v.close()
	v.ask("db.backup", `{}`)
	v.begins()
	v.exec(`UPDATE schedules SET next_run_at = now() - interval '1 second' WHERE name = 'db.backup'`)
	v.eventually("the clock has asked", func() error {
		var asked int
		if v.scan(&asked, `SELECT count(*) FROM river_job WHERE kind = 'db.backup' AND args ->> 'job_id' IS NULL AND state = 'completed'`); asked != 2 {
			return errNotYet
		}
		return nil
	})
	if v.scan(&n, `SELECT count(*) FROM jobs WHERE kind = 'db.backup'`); n != 2 {
		t.Errorf("%d jobs, want the clock to have asked for none", n)
	}
	v.open()
}
