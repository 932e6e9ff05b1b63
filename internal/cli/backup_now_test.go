package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/payaid/payaid/internal/localstack"
)

// A backup by hand goes by the settings of a shell. What a service keeps and hides, it doesn't remove or show.
func TestBackupNowBesideAService(t *testing.T) {
	t.Parallel()
	pg := localstack.TestPostgres(t)
	url, dir := pg.URL(pg.NewDatabase(t, "")), filepath.Join(t.TempDir(), "backups")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dumps := func() int {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, "*.manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	backup := func(want, left int, says string, args ...string) {
		t.Helper()
		status, out, complaints := commanded(t, append([]string{"backup"}, append(args, "--database-url="+url, "--backup-dir="+dir)...)...)
		if status != want || !strings.Contains(out+complaints, says) || dumps() != left || strings.Contains(out+complaints, identity.String()) {
			t.Fatalf("%q ends with %d and leaves %d backups: %s%s", args, status, dumps(), out, complaints)
		}
	}
	recipient := "--backup-age-recipient=" + identity.Recipient().String()
	backup(0, 1, "encrypted", "now", recipient)
	backup(1, 1, "would not be: set BACKUP_AGE_RECIPIENT (it was made for "+identity.Recipient().String(), "now")
	backup(1, 1, "BACKUP_AGE_IDENTITY or --identity", "verify")
	backup(1, 1, "--identity: can't be read", "verify", "--identity="+keys+"-not-there")
	backup(1, 1, "--identity: names a file of secret keys", "verify", "--identity="+identity.String())
	backup(0, 1, "verified", "verify", "--identity="+keys)
	backup(0, 2, "places", "now", "--plain")
	backup(0, 3, "places", "now")
	backup(0, 2, "removed", "now", "--backup-retention=daily=1") // this one, and the newest that was verified
}

func TestRetentionChosen(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		environment bool
		days, rest  string
		want        bool
	}{
		"neither":                {false, "30", "", false},
		"the default, by name":   {true, "30", "", true},
		"fewer days":             {false, "7", "", true},
		"days, weeks and months": {false, "30", "daily=7", true},
	} {
		var c backupNowCmd
		c.BackupRetentionDays, c.BackupRetention = one.days, one.rest
		a := &app{lookup: func(string) (string, bool) { return "", one.environment }}
		if got := c.retentionChosen(a); got != one.want {
			t.Errorf("%s: chosen %t", name, got)
		}
	}
}
