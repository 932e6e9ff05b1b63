package check

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// An installation is a copy of the folder that init.sh prepares.
type installation string

func newInstallation(t *testing.T) installation {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"init.sh", ".env.example", "compose.yaml"} {
		data, err := os.ReadFile(deploy + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return installation(dir)
}

// run runs init.sh, with nobody there to be asked.
func (i installation) run(t *testing.T, args ...string) (output string, status int) {
	t.Helper()
	cmd := exec.Command("./init.sh", args...)
	cmd.Dir = string(i)
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

func (i installation) must(t *testing.T, args ...string) string {
	t.Helper()
	out, status := i.run(t, args...)
	if status != 0 {
		t.Fatalf("init.sh %v ended with %d:\n%s", args, status, out)
	}
	return out
}

func (i installation) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(string(i), name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}

// state is the sum, the mode and the owner of every file.
func (i installation) state(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(string(i), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		if d.Type().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(string(i), path)
		owner := info.Sys().(*syscall.Stat_t).Uid
		found[name] = fmt.Sprintf("%s %d %x", info.Mode(), owner, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	domainFlags = []string{"--domain", "crm.example.com", "--email", "you@example.org"}
	published   = []string{"crm.example.com", "mail.crm.example.com"}
)

// It makes all that compose.yaml wants to find, for the users of the containers alone.
func TestInitMakesAllOfIt(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.must(t, append(domainFlags, "--version", "v1.2.3")...)
	p := loaded(t, filepath.Join(string(i), ".env"))
	state := i.state(t)
	users := make(map[string]string) // of secrets, by who uses them
	for name, s := range p.Services {
		user, _, _ := strings.Cut(s.User, ":")
		for _, secret := range s.Secrets {
			if before, ok := users[secret.Source]; ok && before != user {
				t.Errorf("the secret %s is for the users %s and %s (%s)", secret.Source, before, user, name)
			}
			users[secret.Source] = user
		}
	}
	empty := []string{"groq_api_key", "backup_age_identity", "backup_s3_access_key", "backup_s3_secret_key", "backup_ping_url"}
	for name := range p.Secrets {
		got, ok := state["secrets/"+name]
		want := "-rw------- " + users[name] + " "
		if os.Geteuid() != 0 {
			want = "-rw-r--r-- " // kept by the folder
		}
		if !ok || !strings.HasPrefix(got, want) {
			t.Errorf("secrets/%s is %q, want %q", name, got, want)
		}
		if length := len(i.read(t, "secrets/"+name)); ok && (length == 0) != slices.Contains(empty, name) {
			t.Errorf("secrets/%s has %d characters", name, length)
		}
	}
	if !strings.HasPrefix(state["secrets"], "drwx------") {
		t.Errorf("everybody on the machine may look into secrets: %s", state["secrets"])
	}
	if p.Services["api"].Image != "payaid:v1.2.3" || value(p.Services["worker-mail"], "PUBLIC_URL") != "https://crm.example.com" ||
		value(p.Services["worker-mail"], "SMTP_CA_FILE") != "/run/certificates/ca.pem" || p.Services["mail"].Hostname != "mail.crm.example.com" {
		t.Errorf(".env says something else:\n%s", i.read(t, ".env"))
	}
	for file, part := range map[string]string{
		"secrets/database_url":       "postgres://payaid_service:" + i.read(t, "secrets/postgres_service_password") + "@postgres:5432/payaid?",
		"secrets/database_owner_url": "postgres://payaid_owner:" + i.read(t, "secrets/postgres_owner_password") + "@",
		"secrets/redis_auth":         "requirepass " + i.read(t, "secrets/redis_password"),
		"secrets/nats_auth":          i.read(t, "secrets/nats_password"),
	} {
		if !strings.Contains(i.read(t, file), part) {
			t.Errorf("%s doesn't say %s", file, part)
		}
	}
	passwords := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(state)) {
		if strings.HasSuffix(name, "_password") || name == "secrets/admin_key" || name == "secrets/smtp_pass" {
			if other := passwords[i.read(t, name)]; other != "" || len(i.read(t, name)) < 40 {
				t.Errorf("%s is short, or that of %q", name, other)
			}
			passwords[i.read(t, name)] = name
		}
	}
}

// Run again it changes nothing, and makes what is missing alone: so a secret is given up by removing its files.
func TestInitAgain(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.must(t, domainFlags...)
	before := i.state(t)
	for _, flags := range [][]string{nil, domainFlags} {
		out := i.must(t, flags...)
		if after := i.state(t); !maps.Equal(before, after) || !strings.Contains(out, "nothing was changed") {
			t.Errorf("with %v it changed something:\n%s", flags, out)
		}
	}
	for _, name := range []string{"redis_password", "redis_auth", "redis_url"} {
		if err := os.Remove(filepath.Join(string(i), "secrets", name)); err != nil {
			t.Fatal(err)
		}
	}
	i.must(t)
	after := i.state(t)
	for name := range after {
		if changed := before[name] != after[name]; changed != strings.HasPrefix(name, "secrets/redis_") {
			t.Errorf("%s changed: %t", name, changed)
		}
	}
}

// Whatever is wrong is said before anything is made.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags []string
		why   string
	}{
		"nothing, and nobody to ask": {nil, "--domain is not given"},
		"no address":                 {[]string{"--domain", "crm.example.com"}, "--email is not given"},
		"another flag":               {[]string{"--domian", "crm.example.com"}, "no flag --domian"},
		"a flag without a value":     {[]string{"--domain"}, "--domain wants a value"},
		"no name":                    {[]string{"--domain", "https://crm.example.com", "--email", "you@example.org"}, "--domain: want a name"},
		"a name with a command":      {[]string{"--domain", "crm.example.com;id", "--email", "you@example.org"}, "--domain: want a name"},
		"no mail address":            {[]string{"--domain", "crm.example.com", "--email", "you"}, "--email: want an address"},
		"a mailbox of this server":   {[]string{"--domain", "crm.example.com", "--email", "me@crm.example.com"}, "--email: me@crm.example.com would be"},
		"a mail host elsewhere":      {append([]string{"--mail-host", "mail.example.com"}, domainFlags...), "--mail-host: want a name right below"},
		"another kind of TLS":        {append([]string{"--tls", "none"}, domainFlags...), "--tls: want self-signed, acme or files"},
		"files that aren't named":    {append([]string{"--tls", "files"}, domainFlags...), "wants --cert FILE and --key FILE"},
		"a file that isn't there":    {append([]string{"--tls", "files", "--cert", "/nowhere", "--key", "/nowhere"}, domainFlags...), "--cert: there is no certificate"},
		"a file for nothing":         {append([]string{"--cert", "/nowhere"}, domainFlags...), "go with --tls files"},
		"a version with a space":     {append([]string{"--version", "1 2"}, domainFlags...), "--version: want letters"},
		"records of nothing":         {append([]string{"--dns"}, domainFlags...), "run ./init.sh without --dns first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			before := i.state(t)
			out, status := i.run(t, c.flags...)
			if status != 2 || !strings.Contains(out, c.why) {
				t.Errorf("it ended with %d, want 2 and %q:\n%s", status, c.why, out)
			}
			if !maps.Equal(before, i.state(t)) {
				t.Error("something is half made")
			}
		})
	}
	i := newInstallation(t)
	i.must(t, domainFlags...)
	before := i.state(t)
	if out, status := i.run(t, "--domain", "other.example.com"); status != 2 || !strings.Contains(out, ".env says PAYAID_DOMAIN=crm.example.com") {
		t.Errorf("it ended with %d:\n%s", status, out)
	}
	if !maps.Equal(before, i.state(t)) {
		t.Error("something was changed")
	}
}

// The certificates of its own authority are good for both names, and those that are given have to be.
func TestInitCertificates(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.must(t, domainFlags...)
	folder := filepath.Join(string(i), "secrets/certificates")
	pair, err := tls.LoadX509KeyPair(folder+"/fullchain.pem", folder+"/privkey.pem")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(i.read(t, "secrets/certificates/ca.pem")))
	for _, name := range published {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: roots}); err == nil {
		t.Error("the certificate is for others as well")
	}
	given := newInstallation(t)
	flags := append([]string{"--tls", "files", "--cert", folder + "/fullchain.pem", "--key"}, domainFlags...)
	other := filepath.Join(string(i), "secrets/ca.key")
	if out, status := given.run(t, slices.Insert(slices.Clone(flags), 5, other)...); status != 2 || !strings.Contains(out, "is not the key of") {
		t.Errorf("another's key: %d\n%s", status, out)
	}
	elsewhere := []string{"--tls", "files", "--cert", folder + "/fullchain.pem", "--key", folder + "/privkey.pem", "--domain", "crm.example.net", "--email", "you@example.org"}
	if out, status := given.run(t, elsewhere...); status != 2 || !strings.Contains(out, "is not for crm.example.net") {
		t.Errorf("a certificate of others: %d\n%s", status, out)
	}
	given.must(t, slices.Insert(slices.Clone(flags), 5, folder+"/privkey.pem")...)
	if given.read(t, "secrets/certificates/privkey.pem") != i.read(t, "secrets/certificates/privkey.pem") {
		t.Error("the key that was given is not the one that is used")
	}
	if acme := newInstallation(t); !strings.Contains(acme.must(t, append([]string{"--tls", "acme"}, domainFlags...)...), "certificates/fullchain.pem") ||
		!strings.Contains(acme.read(t, ".env"), "\nCOMPOSE_PROFILES=acme\n") || strings.Contains(acme.read(t, ".env"), "\nSMTP_CA_FILE=/") {
		t.Error("with acme there is no certificate to begin with, or nobody asks for others")
	}
}

// The records that it prints are those of the keys and names that it made.
func TestInitRecords(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	out := i.must(t, append([]string{"--address", "203.0.113.5"}, domainFlags...)...)
	for _, record := range []string{"crm.example.com.  A  203.0.113.5", "crm.example.com.  MX  10 mail.crm.example.com.",
		`crm.example.com.  TXT  "v=spf1 a:mail.crm.example.com -all"`, "203.0.113.5  PTR  mail.crm.example.com.", "_dmarc.crm.example.com.  TXT"} {
		if !strings.Contains(out, record) {
			t.Errorf("there is no %s in\n%s", record, out)
		}
	}
	private, _ := pem.Decode([]byte(i.read(t, "secrets/mail/rspamd/dkim/mail.private")))
	key, err := x509.ParsePKCS1PrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	strs := regexp.MustCompile(`mail\._domainkey\.crm\.example\.com\.  TXT  "(.*)" "(.*)" "(.*)"`).FindStringSubmatch(out)
	if strs == nil || strs[1]+strs[2]+strs[3] != "v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(public) {
		t.Errorf("the record of DKIM is another key's: %v", strs)
	}
	if again := i.must(t, "--dns", "--address", "203.0.113.5"); !strings.Contains(again, strs[0]) {
		t.Errorf("--dns prints\n%s", again)
	}
	accounts := i.read(t, "secrets/mail/postfix-accounts.cf")
	salt := regexp.MustCompile(`noreply@crm\.example\.com\|\{SHA512-CRYPT\}(\$6\$([^$]+)\$\S+)`).FindStringSubmatch(accounts)
	if salt == nil {
		t.Fatalf("the accounts are\n%s", accounts)
	}
	hash, err := exec.Command("openssl", "passwd", "-6", "-salt", salt[2], i.read(t, "secrets/smtp_pass")).Output()
	if err != nil || strings.TrimSpace(string(hash)) != salt[1] {
		t.Errorf("the mail account has another password than the product (%v)", err)
	}
	reports := regexp.MustCompile(strings.Trim(strings.Fields(i.read(t, "secrets/mail/postfix-transport.regexp"))[0], "/"))
	for address, want := range map[string]bool{"bounces@crm.example.com": true, "bounces+a-b_1@crm.example.com": true,
		"bounces@example.com": false, "noreply@crm.example.com": false, "bounces@crmxexample.com": false, "a+bounces@crm.example.com": false} {
		if reports.MatchString(address) != want {
			t.Errorf("%s goes to the worker: %t", address, !want)
		}
	}
}

// A secret that is given takes all of its lines: those of a key of age begin with a comment.
func TestRotateTakesAllLines(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.must(t, domainFlags...)
	for name, from := range map[string]string{"rotate.sh": readDeploy(t, "rotate.sh"), "roll.sh": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(string(i), name), []byte(from), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const key = "# created: 2027-01-31T09:30:00+05:30\nAGE-SECRET-KEY-1NEW\nAGE-SECRET-KEY-1OLD"
	rotate := exec.Command(filepath.Join(string(i), "rotate.sh"), "backup_age_identity")
	rotate.Stdin = strings.NewReader(key + "\n")
	if out, err := rotate.CombinedOutput(); err != nil {
		t.Fatalf("rotate.sh: %v\n%s", err, out)
	}
	if got := i.read(t, "secrets/backup_age_identity"); got != key {
		t.Errorf("the secret is now %q, want %q", got, key)
	}
}

// What runs as root on somebody's server is read by a second pair of eyes.
func TestScripts(t *testing.T) {
	t.Parallel()
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Fatal("shellcheck is not installed: scripts/deps.sh tests")
	}
	var scripts []string
	for _, pattern := range []string{"*.sh", "*/*.sh", "*/*/*.sh", "*/*/*/*.sh"} {
		found, err := filepath.Glob(deploy + pattern)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, found...)
	}
	if len(scripts) < 5 {
		t.Fatalf("the scripts are %v", scripts)
	}
	if out, err := exec.Command(shellcheck, append([]string{"--external-sources"}, scripts...)...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
