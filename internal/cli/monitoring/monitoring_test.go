package monitoring

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/payaid/payaid/internal/cli"
	"github.com/payaid/payaid/internal/localstack"
)

// asProduct makes the test binary the program.
const asProduct = "PAYAID_TEST_PRODUCT"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(asProduct); ok {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(localstack.RunTests(m))
}

const deploy = "../../../deploy/"

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(deploy + path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr string
			Labels, Annotations map[string]string
		}
	}
}

func rules(t *testing.T) (f ruleFile) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, "prometheus/payaid.rules.yml"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ UID string }
	Targets     []struct {
		Expr, LegendFormat string
		Datasource         struct{ UID string }
	}
}

func panels(t *testing.T) (list []panel, variables []string) {
	t.Helper()
	var d struct {
		UID        string
		Panels     []panel
		Templating struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal(read(t, "grafana/payaid.json"), &d); err != nil {
		t.Fatal(err)
	}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Type+" "+v.Name)
	}
	return d.Panels, variables
}

// product runs `up` with its demo, and gives the addresses of its API and its metrics.
func product(t *testing.T) (api, metrics string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "payaid-monitoring-") // Postgres of root runs as somebody else, who has to pass
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	up := exec.Command(os.Args[0], "up", "--demo", "--data", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--ollama-url", "http://127.0.0.1:1", "--log-level", "error")
	up.Env = append(os.Environ(), asProduct+"=1")
	up.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	up.Stderr = os.Stderr
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = up.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		if err := up.Wait(); err != nil {
			t.Errorf("up ended with %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	found := regexp.MustCompile(`^  (API|metrics) +(http\S+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := found.FindStringSubmatch(lines.Text()); m != nil && m[1] == "API" {
			api = m[2]
		} else if m != nil {
			metrics = m[2]
		}
		if strings.Contains(lines.Text(), "run by themselves when it is there") {
			break // the demo's last words
		}
	}
	if api == "" || metrics == "" {
		t.Fatalf("up says that its API is at %q, and its metrics at %q", api, metrics)
	}
	return api, metrics
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %s, %v", response.Status, err)
	}
	return string(body)
}

// seldom are families that an installation has only once something has happened in it that the demo doesn't do.
var seldom = []string{
	"payaid_ai_fallbacks_total", "payaid_ai_call_duration_seconds_bucket", // a model answered
	"payaid_backup_restore_seconds", "payaid_backup_duration_seconds", "payaid_backup_bytes", // a backup is there
	"payaid_index_findings", // a sample was taken
}

// Every series that an alert or a panel asks for is one that the product tells, by that very name.
func TestEveryNameIsTold(t *testing.T) {
	t.Parallel()
	api, url := product(t)
	told := map[string]bool{"up": true}
	var exposition string
	for deadline := time.Now().Add(time.Minute); ; {
		exposition = scrape(t, url)
		if strings.Contains(exposition, `payaid_collector_up{collector="database"} 1`) && strings.Contains(exposition, `payaid_collector_up{collector="stream"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the collectors are not all up:\n%s", exposition)
		}
		wait := time.NewTimer(500 * time.Millisecond)
		<-wait.C
	}
	for line := range strings.Lines(exposition) {
		if name, _, ok := strings.Cut(line, "{"); ok && !strings.HasPrefix(line, "#") {
			told[name] = true
		} else if name, _, ok := strings.Cut(line, " "); ok {
			told[name] = true
		}
	}
	for _, name := range seldom {
		told[name] = true
	}
	asked := map[string]string{}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				told[r.Record] = true
			}
			for _, name := range seriesIn(r.Expr) {
				asked[name] = "rule " + r.Record + r.Alert
			}
		}
	}
	list, _ := panels(t)
	for _, p := range list {
		for _, target := range p.Targets {
			for _, name := range seriesIn(target.Expr) {
				asked[name] = "panel " + p.Title
			}
		}
	}
	if len(asked) < 60 {
		t.Errorf("only %d names are asked for", len(asked))
	}
	for name, by := range asked {
		if !told[name] {
			t.Errorf("%s asks for %s, which nobody tells", by, name)
		}
	}
	shown(t, exposition, asked)
	bounded(t, api, url)
}

// bounded has a client ask for thousands of things that there are not, which must not make series.
func bounded(t *testing.T, api, metrics string) {
	t.Helper()
	ask := func(from, to int) (series int) {
		for i := from; i < to; i++ {
			request, err := http.NewRequestWithContext(t.Context(), fmt.Sprintf("M%d", i), fmt.Sprintf("%s/api/%d/%%ff%%22%%7D?x=%d", api, i, i), nil)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				request.Method = []string{"GET", "POST", "PUT", "DELETE"}[i/2%4]
			}
			request.Header.Set("Authorization", fmt.Sprintf("Bearer pk_%d", i))
			request.Header.Set("X-Request-Id", fmt.Sprint("id-", i))
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		for line := range strings.Lines(scrape(t, metrics)) {
			if strings.HasPrefix(line, "payaid_http_") {
				series++
			}
		}
		return series
	}
	if few, many := ask(0, 100), ask(100, 3000); few != many {
		t.Errorf("100 odd requests left %d series, 3000 left %d", few, many)
	}
}

// shown wants every family of ours in a panel or a rule: what nobody looks at need not be told.
func shown(t *testing.T, exposition string, asked map[string]string) {
	for line := range strings.Lines(exposition) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[1] != "TYPE" || !strings.HasPrefix(fields[2], "payaid_") {
			continue
		}
		if asked[fields[2]] == "" && asked[fields[2]+"_bucket"] == "" {
			t.Errorf("no rule and no panel asks for %s", fields[2])
		}
	}
	if n := strings.Count(exposition, "\npayaid_"); n > 3000 {
		t.Errorf("%d series", n)
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	list, variables := panels(t)
	if !slices.Contains(variables, "datasource datasource") || !slices.Contains(variables, "query job") {
		t.Errorf("the variables are %q", variables)
	}
	ids, titles, rows := map[int]bool{}, map[string]bool{}, 0
	for _, p := range list {
		if p.ID == 0 || ids[p.ID] {
			t.Errorf("panel %q has the id %d, as another one", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type == "row" {
			rows++
			titles = map[string]bool{}
			continue
		}
		if titles[p.Title] {
			t.Errorf("two panels of a row are called %q", p.Title)
		}
		titles[p.Title] = true
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q asks %q for %d series", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			if len(seriesIn(target.Expr)) == 0 || target.LegendFormat == "" || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: %+v", p.Title, target)
			}
		}
	}
	if rows < 8 {
		t.Errorf("%d rows", rows)
	}
}

// Who is woken by an alert reads what it means and what to do.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 60 {
				t.Errorf("%s says %q", r.Alert, r.Annotations)
			}
		}
	}
}

func promtool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	check := exec.CommandContext(t.Context(), localstack.TestPromtool(t), args...)
	check.Dir = dir
	out, err := check.CombinedOutput()
	return string(out), err
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "payaid.rules.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "payaid.rules.test.yml"}} {
		if out, err := promtool(t, deploy+"prometheus", args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests := string(read(t, "prometheus/payaid.rules.test.yml"))
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && (!strings.Contains(tests, "- name: "+r.Alert+"\n") || !strings.Contains(tests, "{alertname: "+r.Alert+", ")) {
				t.Errorf("%s is not tested both ways", r.Alert)
			}
		}
	}
}

// The tests of the rules find rules that are wrong.
func TestRulesAreReallyTested(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{
		`> 26 * 3600`:                    `> 26 * 360000`,
		`max(payaid_dead_events) > 0`:    `max(payaid_dead_events) >= 0`,
		`{share="fair",queue!~"ai|main`:  `{queue!~"ai|main`,
		`outcome="lost"`:                 `outcome="losst"`,
		`absent(payaid_build_info)`:      `absent(up)`,
		`ignoring (state) payaid_db`:     `payaid_db`,
		`> 14.4 * 0.001`:                 `> 14.4`,
		`offset 1h`:                      `offset 1m`,
		`outcome!~"succeeded|cancelled"`: `outcome!="succeeded"`,
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			sound := string(read(t, "prometheus/payaid.rules.yml"))
			if !strings.Contains(sound, from) {
				t.Fatalf("there is no %s", from)
			}
			for name, content := range map[string]string{"payaid.rules.yml": strings.ReplaceAll(sound, from, to),
				"payaid.rules.test.yml": string(read(t, "prometheus/payaid.rules.test.yml"))} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := promtool(t, dir, "test", "rules", "payaid.rules.test.yml"); err == nil {
				t.Errorf("nobody notices %s in place of %s:\n%s", to, from, out)
			}
		})
	}
}
