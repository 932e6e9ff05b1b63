package cli

import (
	"cmp"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"filippo.io/age"
	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// backupSettings say what backups are made of, where they are kept, and for how long.
type backupSettings struct {
	BackupDir          string `name:"backup-dir" env:"BACKUP_DIR" help:"Folder of backups, for this user alone; in up DIR/backups. Without it none are made."`
	BackupSchedule     string `name:"backup-schedule" env:"BACKUP_SCHEDULE" default:"0 2 * * *" help:"When backups are made, as cron has it and in UTC, or off."`
	BackupVerify       string `name:"backup-verify" env:"BACKUP_VERIFY" default:"true" help:"false leaves backups as they were made; else each is restored for a try afterwards, into a database of its own."`
	BackupDatabaseURL  string `name:"backup-database-url" env:"BACKUP_DATABASE_URL" secret:"" help:"Postgres by a login that sees every row and may make databases, without a pooler between. DATABASE_URL unless set."`
	BackupVerifyURL    string `name:"backup-verify-database-url" env:"BACKUP_VERIFY_DATABASE_URL" secret:"" help:"Postgres on which backups are restored for a try, by a login that may make databases. That of the backups unless set."`
	BackupBinaries     string `name:"backup-binaries" env:"BACKUP_BINARIES" help:"Folder of pg_dump and pg_restore, of the server's major version. Found by themselves unless set."`
	BackupAgeRecipient string `name:"backup-age-recipient" env:"BACKUP_AGE_RECIPIENT" help:"Public keys (age1…), by commas: backups are encrypted so that only the holders of their secret keys can read them."`
	BackupAgeIdentity  string `name:"backup-age-identity" env:"BACKUP_AGE_IDENTITY" secret:"" help:"Secret keys (AGE-SECRET-KEY-1…), for verifying and restoring encrypted backups. Making them needs none."`
	BackupPingURL      string `name:"backup-ping-url" env:"BACKUP_PING_URL" secret:"" help:"Asked after each good backup, and with /fail behind it after each other end, so that a service elsewhere misses what never ran."`
	retentionSettings
	bucketSettings
}

// retentionSettings say for how long backups are kept, to those who remove them and to those who show it.
type retentionSettings struct {
	BackupRetentionDays string `name:"backup-retention-days" env:"BACKUP_RETENTION_DAYS" default:"30" help:"Days that backups are kept. The newest that is good and the newest that was verified stay in any case."`
	BackupRetention     string `name:"backup-retention" env:"BACKUP_RETENTION" help:"In its place: how many days, weeks and months have their newest backup kept, as daily=7,weekly=4,monthly=12."`
}

// bucketSettings say where the second place of backups is.
type bucketSettings struct {
	BackupS3Endpoint  string `name:"backup-s3-endpoint" env:"BACKUP_S3_ENDPOINT" help:"S3, or a server that speaks like it, that has a copy of each backup: https://s3.example.com."`
	BackupS3Bucket    string `name:"backup-s3-bucket" env:"BACKUP_S3_BUCKET" help:"The bucket there."`
	BackupS3Prefix    string `name:"backup-s3-prefix" env:"BACKUP_S3_PREFIX" help:"Folder in it, for one installation alone."`
	BackupS3Region    string `name:"backup-s3-region" env:"BACKUP_S3_REGION" default:"us-east-1" help:"Its region."`
	BackupS3AccessKey string `name:"backup-s3-access-key" env:"BACKUP_S3_ACCESS_KEY" secret:"" help:"Who asks for it."`
	BackupS3SecretKey string `name:"backup-s3-secret-key" env:"BACKUP_S3_SECRET_KEY" secret:"" help:"The key's secret."`
	BackupS3CAFile    string `name:"backup-s3-ca-file" env:"BACKUP_S3_CA_FILE" help:"PEM file of the authority that signed the server's certificate, where the system doesn't trust it."`
}

// backups is how backups are made and kept.
type backups struct {
	config   backup.Config // without a folder: none are made here
	bucket   *backup.S3Config
	schedule string // as a Spec has it
	verified bool   // each is restored for a try
}

// keeper makes what keeps the backups of the database at this URL, if they have none of their own. Without a folder
// there is none, and it is nil.
func (b backups) keeper(databaseURL string, log *slog.Logger) (*backup.Keeper, error) {
	if b.config.Dir == "" {
		return nil, nil
	}
	c := b.config
	c.DatabaseURL, c.LockID, c.Log = cmp.Or(c.DatabaseURL, databaseURL), migrations.LockID, log
	if b.bucket != nil {
		s3, err := backup.NewS3(*b.bucket)
		if err != nil {
			return nil, err
		}
		c.Remote = s3
	}
	return backup.New(c)
}

// backing is how a worker makes backups, of the database at this URL if they have none of their own.
func (b backups) backing(databaseURL string, log *slog.Logger) (jobs.Backing, error) {
	out := jobs.Backing{Cron: b.cron(), Unverified: !b.verified}
	k, err := b.keeper(databaseURL, log)
	if err == nil && k != nil { // a nil keeper in an interface would be one
		out.Keeper = k
	}
	return out, err
}

// in says where backups are kept when nobody did.
func (b backups) in(dir string) backups {
	if b.config.Dir == "" {
		b.config.Dir = dir
	}
	return b
}

// cron is when backups are made, as this process knows: who keeps none has no say in it.
func (b backups) cron() string {
	if b.config.Dir == "" {
		return ""
	}
	return b.schedule
}

func (s backupSettings) check(p *problems) backups {
	out := backups{config: backup.Config{
		Dir: s.BackupDir, Binaries: s.BackupBinaries, Retention: s.retentionSettings.check(p),
		Recipients: p.recipients("BACKUP_AGE_RECIPIENT", s.BackupAgeRecipient), Identities: p.identities("BACKUP_AGE_IDENTITY", s.BackupAgeIdentity),
		PingURL: p.pingURL("BACKUP_PING_URL", s.BackupPingURL),
	}, bucket: s.bucketSettings.check(p), schedule: jobs.NoCron, verified: p.truth("BACKUP_VERIFY", s.BackupVerify)}
	if s.BackupDatabaseURL != "" {
		out.config.DatabaseURL = p.postgres("BACKUP_DATABASE_URL", s.BackupDatabaseURL)
	}
	if s.BackupVerifyURL != "" {
		out.config.VerifyURL = p.postgres("BACKUP_VERIFY_DATABASE_URL", s.BackupVerifyURL)
	}
	if s.BackupSchedule != jobs.NoCron {
		out.schedule = s.BackupSchedule
		if _, err := cron.ParseStandard(s.BackupSchedule); err != nil {
			p.add("BACKUP_SCHEDULE", "want minute, hour, day, month and weekday as cron has them, such as 0 2 * * *, or off, got %q", s.BackupSchedule)
		}
	}
	return out
}

// check reads NAME=N, by commas, which takes the place of the days.
func (s retentionSettings) check(p *problems) backup.Retention {
	const name = "BACKUP_RETENTION"
	if s.BackupRetention == "" {
		return backup.Retention{Days: p.number("BACKUP_RETENTION_DAYS", s.BackupRetentionDays, 1, 36_500)}
	}
	var r backup.Retention
	parts := map[string]*int{"daily": &r.Daily, "weekly": &r.Weekly, "monthly": &r.Monthly}
	for one := range strings.SplitSeq(s.BackupRetention, ",") {
		part, number, _ := strings.Cut(strings.TrimSpace(one), "=")
		into, ok := parts[part]
		if !ok {
			p.add(name, "want daily, weekly and monthly at most once each, as daily=7,weekly=4,monthly=12, got %q", s.BackupRetention)
			return r
		}
		*into = p.number(name, number, 0, 10_000)
		delete(parts, part)
	}
	if r == (backup.Retention{}) {
		p.add(name, "%q keeps nothing", s.BackupRetention)
	}
	return r
}

// check gives nil for no bucket.
func (s bucketSettings) check(p *problems) *backup.S3Config {
	if s.BackupS3Endpoint+s.BackupS3Bucket+s.BackupS3AccessKey+s.BackupS3SecretKey == "" {
		return nil
	}
	for _, one := range []struct{ name, value string }{{"BACKUP_S3_BUCKET", s.BackupS3Bucket},
		{"BACKUP_S3_ACCESS_KEY", s.BackupS3AccessKey}, {"BACKUP_S3_SECRET_KEY", s.BackupS3SecretKey}} {
		if one.value == "" {
			p.add(one.name, "is not set, and others of BACKUP_S3_… are")
		}
	}
	const name = "BACKUP_S3_ENDPOINT"
	before := len(p.list)
	p.url(name, s.BackupS3Endpoint, "https", "http")
	if u, err := url.Parse(s.BackupS3Endpoint); err == nil && len(p.list) == before &&
		(u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "") {
		p.add(name, "want scheme and host alone, such as https://s3.example.com; the bucket is BACKUP_S3_BUCKET")
	}
	if s.BackupS3Bucket != "" && !isBucketName(s.BackupS3Bucket) {
		p.add("BACKUP_S3_BUCKET", "want a bucket's name alone: 3 to 63 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends, got %q; a folder in it is BACKUP_S3_PREFIX", s.BackupS3Bucket)
	}
	return &backup.S3Config{Endpoint: s.BackupS3Endpoint, Bucket: s.BackupS3Bucket, Prefix: s.BackupS3Prefix, Region: s.BackupS3Region,
		AccessKey: s.BackupS3AccessKey, SecretKey: s.BackupS3SecretKey, RootCAs: p.authorities("BACKUP_S3_CA_FILE", s.BackupS3CAFile)}
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// isBucketName goes by the rules of S3: a name is part of a host's, and no address.
func isBucketName(name string) bool {
	_, err := netip.ParseAddr(name)
	return bucketName.MatchString(name) && !strings.Contains(name, "..") && err != nil
}

// recipients reads age's public keys.
func (p *problems) recipients(name, value string) []string {
	keys := ageKeys(value)
	for _, key := range keys {
		if strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY-") {
			p.add(name, "is a secret key; want the public one, which begins with age1 (age-keygen -y shows it)")
		} else if _, err := age.ParseX25519Recipient(key); err != nil {
			p.add(name, "want age's public keys (age1…), by commas, got %q", key)
		}
	}
	return keys
}

// identities reads age's secret keys, or the content of a file that age-keygen wrote. None is ever shown.
func (p *problems) identities(name, value string) []string {
	keys := ageKeys(value)
	for i, key := range keys {
		if _, err := age.ParseX25519Identity(key); err != nil {
			p.add(name, "key %d is not one of age's secret keys (AGE-SECRET-KEY-1…)", i+1)
		}
	}
	return keys
}

// identityFile reads the keys of the file that --identity names; none for "".
func (p *problems) identityFile(path string) []string {
	const flag = "--identity"
	if path == "" {
		return nil
	}
	if strings.Contains(strings.ToUpper(path), "AGE-SECRET-KEY") {
		p.add(flag, "names a file of secret keys; a key itself would be seen by everybody on this machine")
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		p.add(flag, "can't be read: %v", err)
		return nil
	}
	return p.identities(flag, string(raw))
}

// ageKeys parts keys by lines and commas. Lines that begin with # are remarks.
func ageKeys(text string) (keys []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for key := range strings.SplitSeq(line, ",") {
			if key = strings.TrimSpace(key); key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// pingURL checks an address that is a secret as a whole.
func (p *problems) pingURL(name, value string) string {
	if value != "" {
		p.url(name, value, "https", "http")
	}
	return value
}
