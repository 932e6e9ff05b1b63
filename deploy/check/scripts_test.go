package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// takingTurns are the secrets that all processes have.
var takingTurns = []string{"postgres_service", "redis", "nats"}

// A rotation after which only the new secret is good cuts nobody off, also when it breaks off, twice, between one process and
// the next, and is repeated.
func TestRotateGoesOn(t *testing.T) {
	t.Parallel()
	for _, name := range takingTurns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			for _, breaks := range [][]string{{""}, {"relay", ""}, {"worker-mail", "worker-ai", ""}, {"api", "relay", ""}} {
				before := s.engine(t).Holds["api"]
				for _, at := range breaks {
					s.change(t, func(e *engine) { e.Breaks = at })
					if out, err := s.script(t, "rotate.sh", name); (err == nil) != (at == "") {
						t.Fatalf("broken off at %q: %v\n%s", at, err, out)
					}
				}
				e := s.engine(t)
				now := e.Holds["api"]
				for service, held := range e.Holds {
					if !slices.Equal(held, now) {
						t.Errorf("%s has %q, and api %q", service, held, now)
					}
				}
				changed := slices.IndexFunc(before, func(address string) bool { return !e.takes(address) })
				if changed < 0 || slices.Equal(before, now) {
					t.Errorf("with %q it broke off, and at the end all of %q is good still", breaks, before)
				}
				if left, _ := filepath.Glob(filepath.Join(string(s.installation), "secrets/.rotating*")); len(left) > 0 {
					t.Errorf("it leaves %q behind", left)
				}
			}
		})
	}
}

// What a rotation of another time has left behind, before somebody had the secrets made anew, is not gone on with.
func TestRotatePassesOverOldNotes(t *testing.T) {
	t.Parallel()
	for _, name := range takingTurns {
		s := newStage(t)
		note := filepath.Join(string(s.installation), "secrets/.rotating-"+name)
		if err := os.WriteFile(note, []byte("old new payaid_service_b payaid_service\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.script(t, "rotate.sh", name); err != nil || strings.Contains(s.read(t, "secrets/"+name+"_password"), "new") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		s.engine(t)
	}
}

// The password of the mail server beside is changed with its account, and that of another is left alone.
func TestRotateMail(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	secret, accounts := s.read(t, "secrets/smtp_pass"), s.read(t, "secrets/mail/postfix-accounts.cf")
	if out, err := s.script(t, "rotate.sh", "smtp_pass"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s.read(t, "secrets/smtp_pass") == secret || s.read(t, "secrets/mail/postfix-accounts.cf") == accounts {
		t.Error("nothing was changed")
	}
	secret, accounts = s.read(t, "secrets/smtp_pass"), s.read(t, "secrets/mail/postfix-accounts.cf")
	env := s.read(t, ".env")
	for _, elsewhere := range []string{"SMTP_HOST=smtp.example.net", "SMTP_USER=billing@crm.example.com"} {
		variable, _, _ := strings.Cut(elsewhere, "=")
		if err := os.WriteFile(filepath.Join(string(s.installation), ".env"), []byte(strings.Replace(env, "\n"+variable+"=\n", "\n"+elsewhere+"\n", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.script(t, "rotate.sh", "smtp_pass"); err == nil || !strings.Contains(out, "change it there") {
			t.Errorf("%s: %v\n%s", elsewhere, err, out)
		}
		if s.read(t, "secrets/smtp_pass") != secret || s.read(t, "secrets/mail/postfix-accounts.cf") != accounts {
			t.Errorf("%s: the password of another server is lost", elsewhere)
		}
	}
	s.engine(t)
}

// Where a secret can't be written, no server is told of a new one.
func TestRotateAsksWhetherItMayWrite(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.engine(t)
	for _, c := range []struct{ name, file string }{{"postgres_owner", "database_owner_url"}, {"postgres_backup", "backup_database_url"},
		{"postgres_service", "database_url"}, {"redis", "redis_auth"}, {"nats", "nats_url"}} {
		path := filepath.Join(string(s.installation), "secrets", c.file)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if out, err := s.script(t, "rotate.sh", c.name); err == nil || !strings.Contains(out, "there is no secrets/"+c.file) {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	after := s.engine(t)
	if len(after.Postgres) != len(before.Postgres) || !slices.Equal(after.Redis, before.Redis) || len(after.NATS) != len(before.NATS) {
		t.Errorf("the servers were told: %+v", after)
	}
}

// upgradeTo runs upgrade.sh for a version whose images are there, up to the service that breaks, "" for none.
func (s stage) upgradeTo(t *testing.T, version, breaks string) {
	t.Helper()
	s.change(t, func(e *engine) {
		e.Breaks = breaks
		for _, name := range []string{"payaid", "payaid-backup"} {
			e.Images[name+":"+version] = "sha256:" + name + version
			e.Versions["sha256:"+name+version] = version
		}
	})
	if out, err := s.script(t, "upgrade.sh", "payaid:"+version, "payaid-backup:"+version); (err == nil) != (breaks == "") {
		t.Fatalf("upgrade to %s: %v\n%s", version, err, out)
	}
}

// After tries that ended halfway the way back leads to what ran before the first of them.
func TestUpgradeAfterHalfAnUpgrade(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"", "worker-cache", "api"} {
		s := newStage(t)
		s.upgradeTo(t, "v2", "api") // worker-maintenance has it by then
		s.upgradeTo(t, "v3", last)
		s.change(t, func(e *engine) { e.Breaks = "" })
		if out, err := s.script(t, "upgrade.sh", "--back"); err != nil {
			t.Errorf("the second try broke at %q; back: %v\n%s", last, err, out)
		}
		e := s.engine(t)
		for service, image := range e.Running {
			if e.Versions[image] != "v1" {
				t.Errorf("the second try broke at %q; back, %s runs %s", last, service, e.Versions[image])
			}
		}
	}
	s := newStage(t)
	s.upgradeTo(t, "v2", "")
	s.upgradeTo(t, "v3", "")
	if out, err := s.script(t, "upgrade.sh", "--back"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if e := s.engine(t); e.Versions[e.Running["api"]] != "v2" || e.Versions[e.Running["worker-maintenance"]] != "v2" {
		t.Errorf("from v3 it goes back to %v", e.Running)
	}
}

// The runbook's upgrade can be typed as it stands: it builds the version that was pulled, under its own names.
func TestRunbookUpgrade(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const git = `git() {
	case "$*" in
	pull) ;;
	"describe --tags --always") echo v1.5.0 ;;
	*) return 1 ;;
	esac
}
`
	typed(t, string(s.installation), git+block(t, readDeploy(t, "RUNBOOK.md"), "## Upgrade without downtime"), "PATH="+s.bin+":"+os.Getenv("PATH"))
	e := s.engine(t)
	for service, image := range e.Running {
		if e.Versions[image] != "v1.5.0" {
			t.Errorf("%s runs %s", service, e.Versions[image])
		}
	}
	if e.Images["payaid:v1"] != "sha256:p1" || e.Images["payaid:previous"] != "sha256:p1" || e.Images["payaid-backup:previous"] != "sha256:b1" {
		t.Errorf("the older images are lost: %v", e.Images)
	}
}
