//go:build deploytest

package deploytest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Where the stack is reached: its ports are published on this machine's own address alone.
const (
	domain    = "crm.deploytest.example"
	httpPort  = "18080"
	httpsPort = "18443"
	smtpPort  = "18025"
)

// deployed is a stack with who uses it.
type deployed struct {
	*stack
	report    report
	roots     *x509.CertPool
	admin     *client
	own       *client // an organization's key, without a limit that would be in the way
	mine      string  // the organization
	kept      int     // contacts and jobs before the stop
	superuser string  // password of the database
	nats      string  // its URL, with the password
}

// newDeployed takes a copy of the deploy folder and has init.sh make what belongs in it. It starts nothing yet.
func newDeployed(t *testing.T) *deployed {
	t.Helper()
	if os.Getenv("DEPLOYTEST_DIR") == "" {
		t.Fatal("run `make deploytest`, which brings an engine and images")
	}
	dir := filepath.Join(os.Getenv("DEPLOYTEST_DIR"), "deploy")
	s := &stack{dir: dir}
	d := &deployed{stack: s}
	out, err := s.run(t.Context(), "./init.sh", "--domain", domain, "--email", "operator@deploytest.example", "--tls", "self-signed")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("init.sh:\n%s", out)
	err = s.set("PAYAID_IMAGE=payaid-test/payaid:one", "PAYAID_BACKUP_IMAGE=payaid-test/payaid-backup:one",
		"POSTGRES_IMAGE=payaid-test/postgres", "REDIS_IMAGE=payaid-test/redis", "NATS_IMAGE=payaid-test/nats",
		"NGINX_IMAGE=payaid-test/nginx", "OLLAMA_IMAGE=payaid-test/ollama", "MAIL_IMAGE=payaid-test/mail",
		"HTTP_PORT=127.0.0.1:"+httpPort, "HTTPS_PORT=127.0.0.1:"+httpsPort, "SMTP_LISTEN=127.0.0.1:"+smtpPort,
		"SUBMISSION_LISTEN=127.0.0.1:18587", "SUBMISSIONS_LISTEN=127.0.0.1:18465", "IMAPS_LISTEN=127.0.0.1:18993",
		// All that the test asks comes from one address, and it asks as much as the machine bears.
		"EDGE_RATE=10000r/s", "EDGE_BURST=10000", "EDGE_CONNECTIONS=1000",
		// Callbacks of jobs go to the machine of the test.
		"WEBHOOK_ALLOW_HTTP=true", "WEBHOOK_ALLOW_NETWORKS=172.31.241.0/24")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "secrets/certificates/fullchain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d.roots = x509.NewCertPool()
	if !d.roots.AppendCertsFromPEM(pem) {
		t.Fatal("init.sh made no certificate that can be read")
	}
	d.nats = d.secret(t, "nats_url")
	d.superuser = d.secret(t, "postgres_password")
	d.admin = newClient(domain, "127.0.0.1:"+httpsPort, d.roots, d.secret(t, "admin_key"))
	return d
}

func (d *deployed) secret(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "secrets", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// start is the command of the runbook, and how long it took.
func (d *deployed) start(t *testing.T, what string) {
	t.Helper()
	began := time.Now()
	if _, err := d.call(within(t, 4*time.Minute), "up", "--detach", "--wait", "--wait-timeout", "120"); err != nil {
		d.explain(t)
		t.Fatalf("%s: %v", what, err)
	}
	took := time.Since(began)
	list, err := d.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, c := range list {
		switch {
		case c.healthy():
			running++
		case c.State.Status == "exited" && c.State.ExitCode == 0: // has done its work
		default:
			t.Errorf("%s: %s is %+v", what, c.Name, c.State)
		}
	}
	if took > 2*time.Minute {
		t.Errorf("%s took %s, want less than two minutes", what, took)
	}
	d.report.add(what, "all of %d containers healthy in %s", running, seconds(took))
}

// explain shows what containers that aren't well have written.
func (d *deployed) explain(t *testing.T) {
	list, err := d.containers(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Log(err)
	}
	for _, c := range list {
		if c.healthy() || c.State.Status == "exited" && c.State.ExitCode == 0 {
			continue
		}
		logs, err := d.run(context.WithoutCancel(t.Context()), "sh", "-c", "docker logs --tail 15 "+c.ID+" 2>&1")
		t.Logf("%s is %+v %v\n%s", c.Name, c.State, err, logs)
	}
}

// organization makes the organization that the test works for, and a key of its own for it.
func (d *deployed) organization(t *testing.T) {
	t.Helper()
	var o struct {
		ID     string `json:"id"`
		APIKey struct {
			Key string `json:"key"`
		} `json:"api_key"`
	}
	ctx := within(t, time.Minute)
	if err := d.admin.want(ctx, http.StatusCreated, http.MethodPost, "/api/organizations", `{"name":"Deploytest","state":"Karnataka"}`, &o); err != nil {
		t.Fatal(err)
	}
	var key struct {
		Key string `json:"key"`
	}
	err := d.admin.as(o.APIKey.Key).want(ctx, http.StatusCreated, http.MethodPost, "/api/api-keys",
		`{"name":"deploytest","scopes":["read","write","jobs"],"rate_limit":100000}`, &key)
	if err != nil {
		t.Fatal(err)
	}
	d.own, d.mine = d.admin.as(key.Key), o.ID
	d.report.add("organization, key", "made through nginx over TLS (%s)", fmt.Sprint(domain))
}

// within is the test's context with an end.
func within(t *testing.T, most time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	return ctx
}
