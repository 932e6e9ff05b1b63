package check

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Nothing but nginx and the mail server can be reached from outside. Docker opens a published port in front of any
// firewall of the machine, so what is for the operator is at the machine's own address.
func TestComposePorts(t *testing.T) {
	t.Parallel()
	public := map[string][]uint32{"nginx": {80, 443}, "mail": {25, 465, 587, 993}}
	for name, s := range loaded(t, "").Services {
		var open []uint32
		for _, port := range s.Ports {
			if port.HostIP == "127.0.0.1" && len(s.Profiles) > 0 {
				continue
			}
			open = append(open, port.Target)
		}
		if !slices.Equal(open, public[name]) {
			t.Errorf("%s: ports %v are open, want %v", name, open, public[name])
		}
	}
}

func TestComposeNetworks(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	for name, internal := range map[string]bool{"edge": false, "app": false, "data": true} {
		if p.Networks[name].Internal != internal {
			t.Errorf("the network %s has no way out: %t", name, p.Networks[name].Internal)
		}
	}
	want := map[string]string{
		"nginx": "edge", "certbot": "edge", "api": "data edge", "relay": "data", "migrate": "data", "worker-cache": "data",
		"worker-ai": "app data", "worker-mail": "app data", "worker-webhook": "app data", "worker-maintenance": "app data",
		"postgres": "data", "redis": "data", "nats": "data", "pitr": "data", "ollama": "app", "ollama-pull": "app", "mail": "app",
		// A port of a container without a way out can't be published.
		"prometheus": "data edge", "grafana": "data edge", "riverui": "data edge", "prepare": "",
	}
	for name, s := range p.Services {
		if got := strings.Join(slices.Sorted(maps.Keys(s.Networks)), " "); got != want[name] {
			t.Errorf("%s is in %q, want %q", name, got, want[name])
		}
	}
	for service, trusts := range map[string]struct{ setting, network string }{
		"api": {"TRUSTED_PROXIES", "edge"}, "worker-mail": {"LMTP_ALLOW", "app"},
	} {
		if got := value(p.Services[service], trusts.setting); got != p.Networks[trusts.network].Ipam.Config[0].Subnet {
			t.Errorf("%s believes %s, and its network %s is %s", service, got, trusts.network, p.Networks[trusts.network].Ipam.Config[0].Subnet)
		}
	}
	var nets []netip.Prefix
	for name, n := range p.Networks {
		if name == "default" {
			continue
		}
		prefix, err := netip.ParsePrefix(n.Ipam.Config[0].Subnet)
		if err != nil || !prefix.Addr().IsPrivate() || slices.ContainsFunc(nets, prefix.Overlaps) {
			t.Errorf("network %s: %v (%v)", name, prefix, err)
		}
		nets = append(nets, prefix)
	}
}

// value is what a variable is set to, "" for nothing.
func value(s types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}

var holdsSecret = regexp.MustCompile(`(^|_)(KEY|PASS|PASSWORD|SECRET|TOKEN)(_|$)|(DATABASE|NATS|REDIS|PING)_URL`)

// What is secret comes by file, so that nobody reads it in `docker inspect`; and each container has those that it uses.
func TestComposeSecrets(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	used := make(map[string]bool)
	for name, s := range p.Services {
		has := make(map[string]bool)
		for _, secret := range s.Secrets {
			has[secret.Source] = true
			used[secret.Source] = true
		}
		for variable, v := range s.Environment {
			if v == nil {
				t.Errorf("%s: %s is taken over from the shell", name, variable)
				continue
			}
			if holdsSecret.MatchString(variable) && !strings.HasSuffix(variable, "_FILE") && !strings.HasSuffix(variable, "_PATH") && !strings.Contains(*v, "payaid_riverui@") {
				t.Errorf("%s: %s stands in the environment", name, variable)
			}
			if secret, ok := strings.CutPrefix(*v, "/run/secrets/"); ok && !has[secret] {
				t.Errorf("%s: %s is %s, and it doesn't have that", name, variable, *v)
			}
		}
		if _, own := ours(p)[name]; !own {
			continue
		}
		for secret := range has {
			if !slices.ContainsFunc(slices.Collect(maps.Values(s.Environment)), func(v *string) bool { return *v == "/run/secrets/"+secret }) {
				t.Errorf("%s has %s, and no use for it", name, secret)
			}
		}
	}
	for name, secret := range p.Secrets {
		if !used[name] {
			t.Errorf("nobody has the secret %s", name)
		}
		if !strings.HasSuffix(secret.File, "/deploy/secrets/"+name) {
			t.Errorf("the secret %s is in %s", name, secret.File)
		}
	}
}

// Each variable of the product is one of the settings of the command that it is given to.
func TestComposeSettings(t *testing.T) {
	t.Parallel()
	for name, s := range ours(loaded(t, "")) {
		command := []string{s.Command[0]}
		if name == "migrate" {
			command = []string{"migrate", "up"} // what it does by default
		}
		known := settings(t, command...)
		for variable := range s.Environment {
			_, plain := known[variable]
			_, inFile := known[strings.TrimSuffix(variable, "_FILE")]
			if variable != "GOMEMLIMIT" && !plain && !inFile {
				t.Errorf("%s: payaid %s has no setting %s", name, strings.Join(command, " "), variable)
			}
		}
		if name == "migrate" {
			continue
		}
		if value(s, "METRICS_LISTEN") != "0.0.0.0:9464" || value(s, "LOG_FORMAT") != "json" {
			t.Errorf("%s: nobody can watch it", name)
		}
		limit, err := strconv.Atoi(strings.TrimSuffix(value(s, "GOMEMLIMIT"), "MiB"))
		if most := int64(s.Deploy.Resources.Limits.MemoryBytes) >> 20; err != nil || int64(limit)*10 > most*9 {
			t.Errorf("%s: the collector begins at %s of %d MiB", name, value(s, "GOMEMLIMIT"), most)
		}
	}
}

// What is told to stop has the time that it takes.
func TestComposeGraces(t *testing.T) {
	t.Parallel()
	for name, s := range ours(loaded(t, "")) {
		took := 10 * time.Second
		switch s.Command[0] {
		case "worker":
			environment := map[string]string{"STOP_GRACE": value(s, "STOP_GRACE")}
			took += stopGrace(t, environment)
		case "api":
			const requests = 15 * time.Second
			pause, err := time.ParseDuration(value(s, "DRAIN_PAUSE"))
			if err != nil || pause < 5*time.Second {
				t.Errorf("%s: nginx asks for names every 5 s, and has %s to notice", name, pause)
			}
			took = pause + requests + 5*time.Second
		}
		if grace := time.Duration(*s.StopGracePeriod); grace < took {
			t.Errorf("%s: it is killed after %s, and may take %s", name, grace, took)
		}
	}
	workers := regexp.MustCompile(`(?m)^worker_shutdown_timeout (\d+s);$`).FindStringSubmatch(readDeploy(t, "nginx/nginx.conf"))
	if workers == nil {
		t.Fatal("workers of nginx wait for streams without end")
	}
	streams, err := time.ParseDuration(workers[1])
	if grace := time.Duration(*loaded(t, "").Services["nginx"].StopGracePeriod); err != nil || grace <= streams {
		t.Errorf("nginx is killed after %s, and waits %s for its streams (%v)", grace, streams, err)
	}
}

// The pools together stay within what Postgres gives, while api is rolled and worker-ai is three.
func TestComposeConnections(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	number := func(s types.ServiceConfig, name string) int {
		n, err := strconv.Atoi(value(s, name))
		if err != nil {
			t.Errorf("%s: %s: %v", s.Name, name, err)
		}
		return n
	}
	many := map[string]int{"api": 2, "relay": 2, "worker-ai": 3}
	// Commands by hand, a backup and its verification, River's pages, the log's copy, Grafana's kin.
	sum := 40
	for name, s := range ours(p) {
		if name == "migrate" {
			continue
		}
		pool := number(s, "DB_POOL_SIZE") + number(s, "DB_POOL_OVERFLOW")
		switch s.Command[0] {
		case "relay":
			pool = min(pool, 4) + 1
		case "worker":
			pool = 2*pool + 3
		}
		sum += pool * max(1, many[name])
	}
	const reserved = 3
	command := strings.Join(p.Services["postgres"].Command, " ")
	found := regexp.MustCompile(`max_connections=(\d+)`).FindStringSubmatch(command)
	if found == nil {
		t.Fatalf("postgres: no max_connections in %s", command)
	}
	most, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	if sum > most-reserved {
		t.Errorf("the processes may open %d connections of %d", sum, most-reserved)
	}
	t.Logf("the processes may open %d connections of %d", sum, most-reserved)
}

// What Redis may hold fits into its container, as does what must not be evicted.
func TestComposeRedis(t *testing.T) {
	t.Parallel()
	conf := readDeploy(t, "redis/redis.conf")
	for _, line := range []string{"maxmemory 256mb", "maxmemory-policy volatile-lfu", `save ""`, "appendonly no", "include /run/secrets/redis_auth"} {
		if !strings.Contains(conf, "\n"+line+"\n") {
			t.Errorf("redis.conf doesn't say %q", line)
		}
	}
	if most := loaded(t, "").Services["redis"].Deploy.Resources.Limits.MemoryBytes; most < 256<<20*5/4 {
		t.Errorf("redis has %d bytes for 256 MiB of values", most)
	}
}

// Prometheus asks every process of the product, by the names that they have in compose.yaml.
func TestPrometheusAsksEveryProcess(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile(`names: \[(.*)\]`).FindStringSubmatch(readDeploy(t, "prometheus/prometheus.yml"))
	if found == nil {
		t.Fatal("prometheus.yml names nobody")
	}
	asked := strings.Split(found[1], ", ")
	slices.Sort(asked)
	var want []string
	for name, s := range ours(loaded(t, "")) {
		if value(s, "METRICS_LISTEN") != "" {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(asked, want) {
		t.Errorf("Prometheus asks %v, want %v", asked, want)
	}
}
