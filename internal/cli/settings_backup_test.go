package cli

import (
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/jobs"
)

// usualBackups are the settings where nobody set any.
func usualBackups() backupSettings {
	return backupSettings{BackupSchedule: "0 2 * * *", BackupVerify: "true", retentionSettings: retentionSettings{BackupRetentionDays: "30"}}
}

func TestBackupSettings(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := usualBackups()
	s.BackupDir, s.BackupSchedule, s.BackupRetention = "/backups", "*/15 * * * *", "daily=7, weekly=4,monthly=12"
	s.BackupAgeRecipient = identity.Recipient().String()
	s.BackupAgeIdentity = "# created: today\n# public key: " + identity.Recipient().String() + "\n" + identity.String() + "\n"
	s.BackupDatabaseURL, s.BackupPingURL = "postgres://owner@127.0.0.1/payaid", "https://ping.example.com/0197?a=b"
	s.bucketSettings = bucketSettings{BackupS3Endpoint: "https://s3.example.com/", BackupS3Bucket: "backups", BackupS3Prefix: "payaid", BackupS3AccessKey: "a", BackupS3SecretKey: "b"}
	var p problems
	b := s.check(&p)
	if p.err() != nil {
		t.Fatal(p.err())
	}
	if want := (backup.Retention{Daily: 7, Weekly: 4, Monthly: 12}); b.config.Retention != want || b.cron() != "*/15 * * * *" {
		t.Errorf("got %+v, %q", b.config.Retention, b.cron())
	}
	if !slices.Equal(b.config.Identities, []string{identity.String()}) || !slices.Equal(b.config.Recipients, []string{identity.Recipient().String()}) {
		t.Errorf("the keys are %q and %q", b.config.Identities, b.config.Recipients)
	}
	k, err := b.keeper("postgres://api@127.0.0.1/payaid", nil)
	if err != nil || k == nil {
		t.Fatalf("got %v, %v", k, err)
	}
	if k.DatabaseURL != s.BackupDatabaseURL || k.Remote == nil || k.LockID == 0 || k.Dir != "/backups" {
		t.Errorf("got %+v", k.Config)
	}
}

// Nothing set: thirty days, two in the night, no bucket. Without a folder there are no backups, and none are due.
func TestBackupSettingsOfNobody(t *testing.T) {
	t.Parallel()
	var p problems
	b := usualBackups().check(&p)
	if p.err() != nil || b.bucket != nil || b.config.Retention != (backup.Retention{Days: 30}) {
		t.Errorf("got %+v, %v", b, p.err())
	}
	if k, err := b.keeper("postgres://127.0.0.1/payaid", nil); k != nil || err != nil || b.cron() != "" {
		t.Errorf("got %v, %v, %q", k, err, b.cron())
	}
	k, err := b.in("/data/backups").keeper("postgres://127.0.0.1/payaid", nil)
	if err != nil {
		t.Fatal(err)
	}
	if k.Dir != "/data/backups" || k.DatabaseURL != "postgres://127.0.0.1/payaid" || k.Remote != nil {
		t.Errorf("got %+v", k.Config)
	}
	if got := b.in("/data/backups").cron(); got != "0 2 * * *" {
		t.Errorf("got %q", got)
	}
	off := usualBackups()
	off.BackupSchedule = "off"
	if got := off.check(&p).in("/backups").cron(); got != jobs.NoCron {
		t.Errorf("got %q", got)
	}
}

func TestBucketNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"abc", "backups", "payaid-backups.2027", "0a9", strings.Repeat("a", 63)} {
		s := usualBackups()
		s.bucketSettings = bucketSettings{BackupS3Endpoint: "https://s3.example.com", BackupS3Bucket: name, BackupS3AccessKey: "a", BackupS3SecretKey: "b"}
		var p problems
		if s.check(&p); p.err() != nil {
			t.Errorf("%s: %v", name, p.err())
		}
	}
}

// A mistake names its setting, and shows none of what is secret.
func TestMistakesInBackupSettings(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	whole := bucketSettings{BackupS3Endpoint: "https://s3.example.com", BackupS3Bucket: "backups", BackupS3AccessKey: "a", BackupS3SecretKey: canary}
	bucket := func(change func(*bucketSettings)) func(*backupSettings) {
		return func(s *backupSettings) { s.bucketSettings = whole; change(&s.bucketSettings) }
	}
	for name, c := range map[string]struct {
		setting string
		change  func(*backupSettings)
	}{
		"schedule of words":       {"BACKUP_SCHEDULE", func(s *backupSettings) { s.BackupSchedule = "nightly" }},
		"schedule with seconds":   {"BACKUP_SCHEDULE", func(s *backupSettings) { s.BackupSchedule = "0 0 2 * * *" }},
		"verified perhaps":        {"BACKUP_VERIFY", func(s *backupSettings) { s.BackupVerify = "perhaps" }},
		"no days":                 {"BACKUP_RETENTION_DAYS", func(s *backupSettings) { s.BackupRetentionDays = "0" }},
		"retention of years":      {"BACKUP_RETENTION", func(s *backupSettings) { s.BackupRetention = "yearly=3" }},
		"retention twice":         {"BACKUP_RETENTION", func(s *backupSettings) { s.BackupRetention = "daily=3,daily=4" }},
		"retention below nothing": {"BACKUP_RETENTION", func(s *backupSettings) { s.BackupRetention = "daily=-1" }},
		"retention of nothing":    {"BACKUP_RETENTION", func(s *backupSettings) { s.BackupRetention = "daily=0" }},
		"a secret key for all":    {"BACKUP_AGE_RECIPIENT", func(s *backupSettings) { s.BackupAgeRecipient = identity.String() }},
		"no public key":           {"BACKUP_AGE_RECIPIENT", func(s *backupSettings) { s.BackupAgeRecipient = "age1nonsense" }},
		"no secret key":           {"BACKUP_AGE_IDENTITY", func(s *backupSettings) { s.BackupAgeIdentity = "AGE-SECRET-KEY-1" + canary }},
		"another database":        {"BACKUP_DATABASE_URL", func(s *backupSettings) { s.BackupDatabaseURL = "mysql://u:" + canary + "@host/x" }},
		"a ping to nowhere":       {"BACKUP_PING_URL", func(s *backupSettings) { s.BackupPingURL = canary }},
		"no bucket":               {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "" })},
		"a folder for a bucket":   {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "a/b" })},
		"a bucket of two letters": {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "ab" })},
		"a bucket too long":       {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = strings.Repeat("a", 64) })},
		"a bucket in capitals":    {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "Backups" })},
		"a bucket of two words":   {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "my backups" })},
		"a bucket with a hyphen":  {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "backups-" })},
		"a bucket with two dots":  {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "a..b" })},
		"a bucket by an address":  {"BACKUP_S3_BUCKET", bucket(func(s *bucketSettings) { s.BackupS3Bucket = "10.0.0.1" })},
		"no endpoint":             {"BACKUP_S3_ENDPOINT", bucket(func(s *bucketSettings) { s.BackupS3Endpoint = "" })},
		"an endpoint with a path": {"BACKUP_S3_ENDPOINT", bucket(func(s *bucketSettings) { s.BackupS3Endpoint += "/bucket" })},
		"an endpoint with a key":  {"BACKUP_S3_ENDPOINT", bucket(func(s *bucketSettings) { s.BackupS3Endpoint = "https://a:" + canary + "@s3.example.com" })},
		"no secret":               {"BACKUP_S3_SECRET_KEY", bucket(func(s *bucketSettings) { s.BackupS3SecretKey = "" })},
		"no key":                  {"BACKUP_S3_ACCESS_KEY", bucket(func(s *bucketSettings) { s.BackupS3AccessKey = "" })},
		"an authority nowhere":    {"BACKUP_S3_CA_FILE", bucket(func(s *bucketSettings) { s.BackupS3CAFile = "/nowhere" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := usualBackups()
			c.change(&s)
			var p problems
			s.check(&p)
			err := p.err()
			if err == nil || !strings.Contains(err.Error(), c.setting+": ") || len(p.list) != 1 {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), identity.String())) {
				t.Errorf("it shows a secret: %v", err)
			}
		})
	}
}
