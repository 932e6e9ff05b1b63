package check

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const deploy = root + "/deploy/"

// loaded reads compose.yaml as docker compose does, all profiles included, with the variables of an environment file,
// "" for none.
func loaded(t *testing.T, envFile string) *types.Project {
	t.Helper()
	// Nothing of the environment of the tests: what is under test is the files.
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(deploy), cli.WithProfiles([]string{"*"})}
	if envFile != "" {
		options = append(options, cli.WithEnvFiles(envFile), cli.WithDotEnv)
	}
	o, err := cli.NewProjectOptions([]string{deploy + "compose.yaml"}, options...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("load compose.yaml with %q: %v", envFile, err)
	}
	return p
}

// ours are the services that run the product, with the command that each does.
func ours(p *types.Project) map[string]types.ServiceConfig {
	list := make(map[string]types.ServiceConfig)
	for name, s := range p.Services {
		if strings.HasPrefix(s.Image, "payaid") {
			list[name] = s
		}
	}
	return list
}

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(deploy + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The defaults that stand in compose.yaml are those that .env.example shows.
func TestComposeMeansTheSameWithoutItsVariables(t *testing.T) {
	t.Parallel()
	bare, explained := loaded(t, ""), loaded(t, deploy+".env.example")
	for _, name := range explained.ServiceNames() {
		if !reflect.DeepEqual(bare.Services[name], explained.Services[name]) {
			t.Errorf("%s is another one with .env.example than without:\n%+v\n%+v", name, bare.Services[name], explained.Services[name])
		}
	}
	if !reflect.DeepEqual(bare.Networks, explained.Networks) {
		t.Errorf("the networks are others with .env.example than without")
	}
}

func TestComposeVariablesAreExplained(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(readDeploy(t, "compose.yaml"), -1) {
		used[m[1]] = true
	}
	used["COMPOSE_PROFILES"] = true // read by docker compose itself
	known := make(map[string]bool)
	explained := false
	for line := range strings.Lines(readDeploy(t, ".env.example")) {
		line = strings.TrimSpace(line)
		name, _, isVariable := strings.Cut(line, "=")
		switch {
		case line == "":
			explained = false
		case strings.HasPrefix(line, "#"):
			explained = true
		case !isVariable:
			t.Errorf(".env.example: what is %q?", line)
		case known[name]:
			t.Errorf(".env.example: %s stands there twice", name)
		default:
			known[name] = true
			if !explained {
				t.Errorf(".env.example: nothing explains %s", name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			t.Errorf(".env.example doesn't have %s, which compose.yaml uses", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !used[name] {
			t.Errorf(".env.example has %s, which compose.yaml doesn't use", name)
		}
	}
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	if p.Name != "payaid" {
		t.Errorf("the project is called %s", p.Name)
	}
	profiles := map[string][]string{
		"":     {"nginx", "api", "relay", "migrate", "prepare", "postgres", "redis", "nats", "ollama", "ollama-pull", "mail"},
		"acme": {"certbot"}, "observability": {"prometheus", "grafana"}, "riverui": {"riverui"}, "pitr": {"pitr"},
	}
	for _, queue := range queues(t) {
		profiles[""] = append(profiles[""], "worker-"+queue)
		command := strings.Join(p.Services["worker-"+queue].Command, " ")
		if want := "worker --queue " + queue; command != want && !strings.HasPrefix(command, want+":") {
			t.Errorf("worker-%s runs %q, want %q", queue, command, want)
		}
	}
	want := make(map[string]string)
	for profile, names := range profiles {
		for _, name := range names {
			want[name] = profile
		}
	}
	got := make(map[string]string)
	for name, s := range p.Services {
		got[name] = strings.Join(s.Profiles, " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("services by profile are\n%v, want\n%v", got, want)
	}
	if regexp.MustCompile(`(?m)^version:`).MatchString(readDeploy(t, "compose.yaml")) {
		t.Error("compose.yaml names a version, which is no more")
	}
	if strings.Contains(readDeploy(t, "compose.yaml"), "start_interval") {
		t.Error("start_interval is refused by engines before 25")
	}
}

// rootful are the services that can't do without, and what else they may.
var rootful = map[string][]string{
	"mail":    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_CHROOT"},
	"prepare": {"CHOWN"},
}

// No service may do more than it needs to, nor take more than its share of the machine.
func TestComposeServicesAreBounded(t *testing.T) {
	t.Parallel()
	for name, s := range loaded(t, "").Services {
		wrong := func(format string, args ...any) {
			t.Helper()
			t.Errorf(name+": "+format, args...)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.CapAdd, rootful[name]) {
			wrong("it drops %v and takes %v", s.CapDrop, s.CapAdd)
		}
		_, asRoot := rootful[name]
		if user, _, _ := strings.Cut(s.User, ":"); !asRoot && !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(user) {
			wrong("it runs as %q", s.User)
		}
		if name != "mail" && (!s.ReadOnly || !slices.Contains(s.SecurityOpt, "no-new-privileges:true")) {
			wrong("it may write where it likes, or get more rights")
		}
		if s.Privileged || s.Pid != "" || s.Ipc != "" || s.UserNSMode != "" || s.NetworkMode == "host" || len(s.Devices) > 0 {
			wrong("it reaches out of its container")
		}
		if s.ContainerName != "" {
			wrong("with a name of its own there can be only one")
		}
		limits := s.Deploy
		if limits == nil || limits.Resources.Limits == nil || limits.Resources.Limits.MemoryBytes == 0 ||
			limits.Resources.Limits.NanoCPUs == 0 || limits.Resources.Limits.Pids == 0 {
			wrong("it has no limit of processors, memory or processes")
		} else if limits.Resources.Limits.NanoCPUs > 1 {
			wrong("it wants %v processors, and a machine that has fewer refuses it", limits.Resources.Limits.NanoCPUs)
		}
		if s.Logging == nil || s.Logging.Driver != "json-file" || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			wrong("its log grows without end: %+v", s.Logging)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 5*time.Second {
			wrong("it is killed after %v", s.StopGracePeriod)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				within(t, name, v)
			}
		}
	}
}

// within says whether what is mounted is there, and is not given away to be written.
func within(t *testing.T, name string, v types.ServiceVolumeConfig) {
	t.Helper()
	if v.Source == "/etc/localtime" {
		return
	}
	path, err := filepath.Rel(mustAbs(t, deploy), v.Source)
	if err != nil || strings.HasPrefix(path, "..") {
		t.Errorf("%s: %s lies outside of deploy", name, v.Source)
		return
	}
	if strings.HasPrefix(path, "secrets/") {
		writes := name == "certbot" || name == "mail" && path == "secrets/mail"
		if !v.ReadOnly && !writes {
			t.Errorf("%s: it may write to %s", name, path)
		}
		return // init.sh makes it
	}
	if _, err := os.Stat(deploy + path); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if !v.ReadOnly {
		t.Errorf("%s: it may write to %s", name, path)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// Each image is one version, that a variable can replace.
func TestComposeImages(t *testing.T) {
	t.Parallel()
	text := readDeploy(t, "compose.yaml")
	for _, m := range regexp.MustCompile(`(?m)^ +image: (.*)$`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^\$\{[A-Z_]+_IMAGE:-[a-z0-9./-]+:(?:local|[a-z0-9.-]*[0-9][a-z0-9.-]*)\}$`).MatchString(m[1]) {
			t.Errorf("image %s: want ${NAME_IMAGE:-name:version}", m[1])
		}
	}
	if s := loaded(t, "").Services["nats"]; !strings.Contains(s.Image, "alpine") {
		t.Errorf("nats: %s has nothing to check its health with", s.Image)
	}
	built := map[string]string{"api": "payaid", "worker-maintenance": "backup"}
	for name, s := range loaded(t, "").Services {
		target := ""
		if s.Build != nil {
			target = s.Build.Target
		}
		if target != built[name] {
			t.Errorf("%s: target %q is built, want %q", name, target, built[name])
		}
	}
}

// Who waits for what: only for that without which it can't begin. `up --wait` fails for a service without a health
// check, unless somebody waits for its end.
func TestComposeOrder(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	needed := map[string]string{"postgres": types.ServiceConditionHealthy, "redis": types.ServiceConditionHealthy, "nats": types.ServiceConditionHealthy,
		"migrate": types.ServiceConditionCompletedSuccessfully, "prepare": types.ServiceConditionCompletedSuccessfully}
	awaited := make(map[string]bool)
	for name, s := range p.Services {
		for on, how := range s.DependsOn {
			if needed[on] != how.Condition {
				t.Errorf("%s waits for %s (%s)", name, on, how.Condition)
			}
			awaited[on] = awaited[on] || how.Condition == types.ServiceConditionCompletedSuccessfully
		}
		if s.Restart != "unless-stopped" && s.Restart != "no" {
			t.Errorf("%s: it is restarted %q", name, s.Restart)
		}
	}
	for name, s := range p.Services {
		checked := s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 1 &&
			s.HealthCheck.Interval != nil && s.HealthCheck.Timeout != nil && s.HealthCheck.Retries != nil
		if checked == awaited[name] || awaited[name] != (s.Restart == "no") {
			t.Errorf("%s: a health check: %t, somebody waits for its end: %t, restarted %q", name, checked, awaited[name], s.Restart)
		}
	}
	for name, s := range ours(p) {
		if name == "migrate" {
			continue
		}
		for on := range needed {
			if _, waits := s.DependsOn[on]; !waits && on != "prepare" {
				t.Errorf("%s doesn't wait for %s", name, on)
			}
		}
	}
}

// The checks of health are those that tell the truth.
func TestComposeHealth(t *testing.T) {
	t.Parallel()
	p := loaded(t, "")
	for name, parts := range map[string][]string{
		"postgres": {"pg_isready", "--host=127.0.0.1"}, // the server that fills a new folder has only its socket
		"redis":    {"grep -qx PONG"},                  // for a wrong password, and while it loads, redis-cli ends with 0
		"nats":     {"wget", "/healthz?js-enabled-only=true"},
		"ollama":   {"ollama list"}, // the image has no curl
		"nginx":    {"wget", "http://127.0.0.1:8081/nginx-health"},
		"mail":     {":25 ", ":465 "},
		"riverui":  {"Authorization: Basic"}, // without a login it answers 401 to its check as to all else
	} {
		check := strings.Join(p.Services[name].HealthCheck.Test, " ")
		for _, part := range parts {
			if !strings.Contains(check, part) {
				t.Errorf("%s: the check of health is %q, without %q", name, check, part)
			}
		}
	}
	for name, s := range ours(p) {
		if got := strings.Join(s.HealthCheck.Test, " "); name != "migrate" && got != "CMD /usr/local/bin/payaid healthcheck" {
			t.Errorf("%s: the check of health is %q", name, got)
		}
	}
}

// The image of nginx passes over scripts that aren't executable.
func TestComposeStartScripts(t *testing.T) {
	t.Parallel()
	var found int
	for name, s := range loaded(t, "").Services {
		for _, v := range s.Volumes {
			if !strings.HasPrefix(v.Target, "/docker-entrypoint.d/") {
				continue
			}
			found++
			info, err := os.Stat(v.Source)
			if err != nil || info.Mode().Perm()&0o111 != 0o111 {
				t.Errorf("%s: %s is passed over: %v, %v", name, v.Source, info, err)
			}
		}
	}
	if found == 0 {
		t.Error("nobody looks whether nginx's certificates have changed")
	}
}
