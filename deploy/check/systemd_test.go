package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const systemd = root + "/deploy/systemd/"

// A unit is a file of systemd's: the values of each name, in their order.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	content, err := os.ReadFile(systemd + name)
	if err != nil {
		t.Fatal(err)
	}
	u := make(unit)
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: line %q", name, line)
		}
		u[key] = append(u[key], value)
	}
	return u
}

func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is there %d times", key, len(u[key]))
	}
	return u[key][0]
}

func (u unit) seconds(t *testing.T, key string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(u.one(t, key))
	if err != nil {
		t.Fatalf("%s: want seconds: %v", key, err)
	}
	return time.Duration(n) * time.Second
}

// environment is what the unit sets itself.
func (u unit) environment() map[string]string {
	set := make(map[string]string)
	for _, line := range u["Environment"] {
		for pair := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(pair, "=")
			set[name] = value
		}
	}
	return set
}

// services are the units, with an instance in place of the worker's.
func services(t *testing.T) map[string]unit {
	t.Helper()
	paths, err := filepath.Glob(systemd + "*.service")
	if err != nil {
		t.Fatal(err)
	}
	units := make(map[string]unit)
	for _, path := range paths {
		units[filepath.Base(path)] = readUnit(t, filepath.Base(path))
	}
	want := []string{"payaid-api.service", "payaid-migrate.service", "payaid-relay.service", "payaid-worker@.service"}
	for _, name := range want {
		if units[name] == nil {
			t.Fatalf("there is no %s", name)
		}
	}
	if len(units) != len(want) {
		t.Fatalf("%d units, want %q", len(units), want)
	}
	return units
}

// staged copies the units, with the product where this machine has it, for systemd-analyze looks for the program.
func staged(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	paths, _ := filepath.Glob(systemd + "payaid*")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), "/usr/local/bin/payaid", payaid(t))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// systemd itself finds nothing to say about the units, each queue's instance among them.
func TestSystemdVerifies(t *testing.T) {
	t.Parallel()
	dir := staged(t)
	names := []string{"payaid-api.service", "payaid-relay.service", "payaid-migrate.service", "payaid.target"}
	for _, q := range queues(t) {
		names = append(names, "payaid-worker@"+q+".service")
	}
	verify := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=yes"}, names...)...)
	verify.Dir = dir
	verify.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := verify.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "payaid") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if err != nil && !t.Failed() {
		t.Logf("about others' units: %s", out)
	}
}

// Nothing is more open than it has to be: systemd counts from 0 to 10, and from 2 on this fails.
func TestSystemdExposure(t *testing.T) {
	t.Parallel()
	dir := staged(t)
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for name := range services(t) {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(dir, name)).CombinedOutput()
		found := level.FindSubmatch(out)
		if err != nil || found == nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		if got, _ := strconv.ParseFloat(string(found[1]), 64); got >= 2 {
			t.Errorf("%s: exposure %v\n%s", name, got, out)
		}
	}
}

// The target starts one process of each type that the installation needs, and stops them.
func TestSystemdTarget(t *testing.T) {
	t.Parallel()
	want := []string{"payaid-migrate.service", "payaid-api.service", "payaid-relay.service"}
	for _, q := range queues(t) {
		want = append(want, "payaid-worker@"+q+".service")
	}
	got := strings.Fields(strings.Join(readUnit(t, "payaid.target")["Wants"], " "))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("it wants %q, want %q", got, want)
	}
	for name, u := range services(t) {
		if part := u.one(t, "PartOf"); part != "payaid.target" {
			t.Errorf("%s is part of %s", name, part)
		}
	}
}

// A process that serves tells systemd how it does, and has time to end: what its jobs may take, and ten seconds.
func TestSystemdStopsInTime(t *testing.T) {
	t.Parallel()
	for name, u := range services(t) {
		if name == "payaid-migrate.service" {
			if u.one(t, "Type") != "oneshot" {
				t.Errorf("%s: Type=%s", name, u.one(t, "Type"))
			}
			continue
		}
		if u.one(t, "Type") != "notify" || u.one(t, "NotifyAccess") != "main" || u.one(t, "Restart") != "always" {
			t.Errorf("%s: systemd isn't told how it does, or doesn't start it again", name)
		}
		if u.seconds(t, "WatchdogSec") < 30*time.Second {
			t.Errorf("%s: WatchdogSec=%s is shorter than questions to a database may take", name, u.one(t, "WatchdogSec"))
		}
		want := 30 * time.Second
		if name == "payaid-worker@.service" {
			want = stopGrace(t, u.environment()) + 10*time.Second
		}
		if got := u.seconds(t, "TimeoutStopSec"); got != want {
			t.Errorf("%s: TimeoutStopSec is %s, want %s", name, got, want)
		}
	}
}

var commandOf = map[string][]string{
	"payaid-api.service": {"api"}, "payaid-relay.service": {"relay"}, "payaid-worker@.service": {"worker"}, "payaid-migrate.service": {"migrate", "up"},
}

// Each setting is one of the product's, and each secret is a file that systemd hands over.
func TestSystemdSettings(t *testing.T) {
	t.Parallel()
	tmpfiles, err := os.ReadFile(systemd + "payaid.tmpfiles.conf")
	if err != nil {
		t.Fatal(err)
	}
	credential := regexp.MustCompile(`^([a-z0-9-]+):/etc/payaid/secrets/([a-z0-9-]+)$`)
	for name, u := range services(t) {
		environment := u.environment()
		for variable := range environment {
			if !isSetting(t, variable, commandOf[name]...) {
				t.Errorf("%s sets %s, which payaid %v doesn't read", name, variable, commandOf[name])
			}
		}
		for _, line := range u["LoadCredential"] {
			c := credential.FindStringSubmatch(line)
			if c == nil || c[1] != c[2] {
				t.Errorf("%s: LoadCredential=%s", name, line)
				continue
			}
			if !strings.Contains(string(tmpfiles), "f /etc/payaid/secrets/"+c[1]+" 0600 root root -\n") {
				t.Errorf("%s: nobody makes the file of %s, without which the unit doesn't start", name, c[1])
			}
			variable := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(c[1], "migrate-"), "-", "_")) + "_FILE"
			if environment[variable] != "%d/"+c[1] {
				t.Errorf("%s: %s is %q", name, variable, environment[variable])
			}
		}
	}
	example, err := os.ReadFile(systemd + "payaid.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(example)) {
		variable, _, ok := strings.Cut(line, "=")
		if !ok || line[0] == '#' {
			continue
		}
		if !isSetting(t, variable, "worker") && !isSetting(t, variable, "api") {
			t.Errorf("payaid.env.example sets %s, which nothing reads", variable)
		}
	}
}

// An empty file of a secret is a secret that is not set: a process misses those that it needs and no other, and takes
// everything else that its unit and the example say.
func TestSystemdEmptySecrets(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(systemd + "payaid.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range services(t) {
		start := strings.ReplaceAll(u.one(t, "ExecStart"), "%i", "mail")
		args := strings.Fields(start)
		process := exec.Command(payaid(t), args[1:]...)
		for line := range strings.Lines(string(example)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				process.Env = append(process.Env, line)
			}
		}
		for variable, value := range u.environment() {
			if strings.HasPrefix(value, "%d/") {
				value = empty
			}
			process.Env = append(process.Env, variable+"="+strings.ReplaceAll(value, "%S", t.TempDir()))
		}
		out, _ := process.CombinedOutput()
		want := []string{"DATABASE_URL: is not set"}
		if name != "payaid-migrate.service" {
			want = append(want, "NATS_URL: is not set")
		}
		if name == "payaid-worker@.service" {
			want = append(want, "SMTP_PASS: ")
		}
		for _, one := range want {
			if !strings.Contains(string(out), one) {
				t.Errorf("%s: no %q in %s", name, one, out)
			}
		}
		if got := strings.Count(strings.TrimSpace(string(out)), "\n"); len(want) > 1 && got != len(want) {
			t.Errorf("%s: it finds more than %q wrong: %s", name, want, out)
		}
	}
}

// newRoot is the root of a system that has two users: root, and payaid, which is whoever runs the test.
func newRoot(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := "root:x:0:0::/root:/bin/sh\npayaid:x:" + strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid()) + "::/:/bin/false\n"
	group := "root:x:0:\npayaid:x:" + strconv.Itoa(os.Getgid()) + ":\n"
	for name, content := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(base, "etc", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// The runbook's commands install all of it, in a root of their own.
func TestRunbookSystemd(t *testing.T) {
	t.Parallel()
	base := newRoot(t)
	prelude := "systemctl() { :; }\nsystemd-sysusers() { command systemd-sysusers --dry-run \"$@\"; }\n" +
		"systemd-tmpfiles() { command systemd-tmpfiles --root='" + base + "' \"$@\" || [ \"$(id -u)\" != 0 ]; }\n"
	commands := block(t, readDeploy(t, "RUNBOOK.md"), "## Under systemd")
	typed(t, systemd, prelude+strings.ReplaceAll(commands, " /etc/", " "+base+"/etc/"))
	names := []string{"payaid.target"}
	for name := range services(t) {
		names = append(names, name)
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(base, "etc/systemd/system", name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(base, "etc/payaid/payaid.env")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the settings: %v, %v", info, err)
	}
}

// systemd's own programs make the user and the folders of the two other files, in a root of their own.
func TestSystemdMakesUserAndFolders(t *testing.T) {
	t.Parallel()
	folder, err := filepath.Abs(systemd)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-sysusers", "--dry-run", folder+"/payaid.sysusers.conf").CombinedOutput(); err != nil {
		t.Errorf("sysusers: %v\n%s", err, out)
	}
	base := newRoot(t)
	if out, err := exec.Command("systemd-tmpfiles", "--create", "--root="+base, folder+"/payaid.tmpfiles.conf").CombinedOutput(); err != nil && os.Getuid() == 0 {
		t.Fatalf("tmpfiles: %v\n%s", err, out)
	}
	info, err := os.Stat(filepath.Join(base, "etc/payaid/secrets"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of secrets: %v, %v", info, err)
	}
	secret, err := os.Stat(filepath.Join(base, "etc/payaid/secrets/database-url"))
	if err != nil || secret.Mode().Perm() != 0o600 || secret.Size() != 0 {
		t.Errorf("an empty secret: %v, %v", secret, err)
	}
}
