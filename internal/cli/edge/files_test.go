package edge

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
)

// fake is an API that answers what a test wants.
func fake(t *testing.T, handle http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func newNginx(t *testing.T, o localstack.NginxOptions) *localstack.Nginx {
	t.Helper()
	return localstack.NewNginx(t, o)
}

// documented are the variables that the head of the template names, with the values that it shows.
func documented(t *testing.T, template string) map[string]string {
	t.Helper()
	head, _, _ := strings.Cut(template, "\nlog_format")
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#   (EDGE_\w+) +(\S+)`).FindAllStringSubmatch(head, -1) {
		values[m[1]] = m[2]
	}
	return values
}

// nginx takes the files as they are shipped, with the values that they are documented with, and warns of nothing.
func TestFilesAsTheyAre(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(files, "templates", "edge.conf.template"))
	if err != nil {
		t.Fatal(err)
	}
	values := documented(t, string(raw))
	used := regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(string(raw), -1)
	for _, u := range used {
		if values[u[1]] == "" {
			t.Errorf("%s is used and not documented", u[1])
		}
	}
	for name := range values {
		if !slices.ContainsFunc(used, func(u []string) bool { return u[1] == name }) {
			t.Errorf("%s is documented and not used", name)
		}
		if strings.Contains(string(raw), "$"+name) {
			t.Errorf("%s is used without braces", name)
		}
	}
	delete(values, "EDGE_HTTP") // those of the test are free
	delete(values, "EDGE_HTTPS")
	delete(values, "EDGE_HEALTH")
	n := newNginx(t, options(values["EDGE_API"], values))
	said, err := n.Check(t.Context())
	if err != nil || strings.Contains(said, "[") {
		t.Errorf("nginx -t: %v\n%s", err, said)
	}
}

// Compose gives nginx all that the template has; what isn't set would stay as it is.
func TestComposeSetsAll(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile(filepath.Join(files, "templates", "edge.conf.template"))
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile(filepath.Join(files, "..", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names := documented(t, string(template))
	if len(names) < 10 {
		t.Errorf("only %d variables are documented", len(names))
	}
	for name := range names {
		if !regexp.MustCompile(`(?m)^ +` + name + `: \S`).Match(compose) {
			t.Errorf("compose.yaml doesn't set %s", name)
		}
	}
	if !strings.Contains(string(compose), "NGINX_ENVSUBST_FILTER: ^EDGE_") {
		t.Error("compose.yaml lets other variables into nginx's own")
	}
}

// Debian's own nginx takes them with the three changes that the template's head names.
func TestOldNginx(t *testing.T) {
	t.Parallel()
	api := fake(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	o := options(api, nil)
	o.Program = localstack.OldNginx(t)
	o.Change = strings.NewReplacer("http2 on;", "", " ssl default_server;", " ssl http2 default_server;", " resolve ", " ").Replace
	c := stranger(t, newNginx(t, o).HTTPS(), either)
	if r := c.ask(t, "GET", "/", "").want(204); r.ProtoMajor != 2 {
		t.Errorf("it answers by %s", r.Proto)
	}
	c.ask(t, "GET", "/metrics", "").problem(404, "not_found")
}
