package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// standsIn is the variable that makes a docker of the test's own program; it names the file of an engine.
const standsIn = "PAYAID_CHECK_STANDS_IN"

// An engine is what stands in for Docker's where the scripts alone are under test. It remembers which images there are and
// run and which logins the servers take, and finds it a fault when a process is cut off.
type engine struct {
	Images   map[string]string   // what a name is the name of
	Versions map[string]string   // of the program in an image
	Running  map[string]string   // the image of each service
	Postgres map[string]string   // the password of each login
	Redis    []string            // the passwords that it takes
	NATS     map[string]string   // the password of each user
	Holds    map[string][]string // the addresses with which each service was started
	Breaks   string              // the service whose new containers don't become healthy
	Faults   []string
}

func readEngine(path string) (*engine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e := new(engine)
	return e, json.Unmarshal(text, e)
}

func (e *engine) write(path string) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// standIn does one command of docker's, in the folder of the installation.
func standIn(path string, args []string) int {
	e, err := readEngine(path)
	status := 1
	if err == nil {
		status = e.do(args)
		e.look()
		err = e.write(path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func (e *engine) do(args []string) int {
	line := strings.Join(args, " ")
	last := args[len(args)-1]
	begins := func(with string) bool { return strings.HasPrefix(line, with) }
	switch {
	case args[0] == "roll":
		return e.roll(args[1:])
	case begins("compose exec -T postgres psql "):
		e.sql()
	case begins("compose exec -T -e REDISCLI_AUTH="):
		_, password, _ := strings.Cut(args[4], "=")
		e.redis(password, last)
	case line == "compose exec -T nats sh -c kill -HUP 1":
		e.NATS = usersOf("secrets/nats_auth")
	case begins("compose exec -T worker-maintenance payaid backup now"), begins("compose run --rm --no-deps migrate"):
	case begins("compose ps -q "):
		if e.Running[last] != "" {
			fmt.Println(last)
		}
	case begins("inspect --format {{.Image}} "):
		fmt.Println(e.Running[last])
	case begins("image inspect --format {{.Id}} "):
		fmt.Println(e.Images[last])
	case begins("image inspect "):
		if slices.ContainsFunc(args[2:], func(name string) bool { return e.Images[name] == "" }) {
			return 1
		}
	case begins("tag "):
		e.Images[args[2]] = cmp.Or(e.Images[args[1]], args[1])
	case begins("run --rm --network none "):
		fmt.Println(e.Versions[cmp.Or(e.Images[args[4]], args[4])])
	case line == "compose build":
		for _, name := range []string{setting("PAYAID_IMAGE"), setting("PAYAID_BACKUP_IMAGE")} {
			e.Images[name] = "sha256:" + name + ":" + setting("PAYAID_VERSION")
			e.Versions[e.Images[name]] = setting("PAYAID_VERSION")
		}
	default:
		e.Faults = append(e.Faults, "what is docker "+line+"?")
		return 1
	}
	return 0
}

// setting is a variable as Compose takes it: from the shell, or else from .env.
func setting(name string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	text, err := os.ReadFile(".env")
	if err != nil {
		return ""
	}
	var value string
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			value = after
		}
	}
	return value
}

// addresses are what a process is given when it starts now.
func addresses() []string {
	var list []string
	for _, name := range []string{"database_url", "redis_url", "nats_url"} {
		text, err := os.ReadFile("secrets/" + name)
		if err != nil {
			return nil
		}
		list = append(list, strings.TrimSpace(string(text)))
	}
	return list
}

// roll replaces services one after the other, up to one that breaks.
func (e *engine) roll(services []string) int {
	for _, name := range services {
		if name == e.Breaks {
			return 1
		}
		e.Holds[name] = addresses()
		image := setting("PAYAID_IMAGE")
		if name == "worker-maintenance" {
			image = setting("PAYAID_BACKUP_IMAGE")
		}
		e.Running[name] = e.Images[image]
		e.look()
	}
	return 0
}

var (
	passwordIs = regexp.MustCompile(`ALTER ROLE (\w+) (?:LOGIN )?PASSWORD '(\w+)'`)
	loginEnds  = regexp.MustCompile(`ALTER ROLE (\w+) NOLOGIN PASSWORD NULL`)
	userIs     = regexp.MustCompile(`user: (\w+)[,\s]+password: "(\w+)"`)
)

func (e *engine) sql() {
	text, _ := io.ReadAll(os.Stdin)
	for _, m := range passwordIs.FindAllStringSubmatch(string(text), -1) {
		e.Postgres[m[1]] = m[2]
	}
	for _, m := range loginEnds.FindAllStringSubmatch(string(text), -1) {
		delete(e.Postgres, m[1])
	}
}

// redis takes another password, or one away, from who has one of them. Its client ends with 0 in any case.
func (e *engine) redis(password, change string) {
	one := change[1:]
	switch has := slices.Contains(e.Redis, one); {
	case !slices.Contains(e.Redis, password):
		fmt.Println("NOAUTH Authentication required.")
		return
	case change[0] == '<' && !has:
		fmt.Println("ERR The password you are trying to remove from the user does not exist")
		return
	case change[0] == '<':
		e.Redis = slices.DeleteFunc(e.Redis, func(p string) bool { return p == one })
	case !has:
		e.Redis = append(e.Redis, one)
	}
	fmt.Println("OK")
}

func usersOf(path string) map[string]string {
	text, _ := os.ReadFile(path)
	users := make(map[string]string)
	for _, m := range userIs.FindAllStringSubmatch(string(text), -1) {
		users[m[1]] = m[2]
	}
	return users
}

// takes reports whether the server of an address lets its login in.
func (e *engine) takes(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	password, _ := u.User.Password()
	switch u.Scheme {
	case "postgres":
		return e.Postgres[u.User.Username()] == password
	case "redis":
		return slices.Contains(e.Redis, password)
	}
	return e.NATS[u.User.Username()] == password
}

// look finds out whether somebody is cut off.
func (e *engine) look() {
	for name, held := range e.Holds {
		for _, address := range held {
			if fault := name + " is refused with " + address; !e.takes(address) && !slices.Contains(e.Faults, fault) {
				e.Faults = append(e.Faults, fault)
			}
		}
	}
}

// A stage is an installation on an engine that stands in.
type stage struct {
	installation
	path string // of the engine
	bin  string
}

// newStage has version v1 run, with what init.sh made.
func newStage(t *testing.T) stage {
	t.Helper()
	s := stage{installation: newInstallation(t), path: filepath.Join(t.TempDir(), "engine"), bin: t.TempDir()}
	s.must(t, append(domainFlags, "--version", "v1")...)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(string(s.installation), "rotate.sh"):  readDeploy(t, "rotate.sh"),
		filepath.Join(string(s.installation), "upgrade.sh"): readDeploy(t, "upgrade.sh"),
		filepath.Join(string(s.installation), "roll.sh"):    "#!/bin/sh\nexec docker roll \"$@\"\n",
		filepath.Join(s.bin, "docker"):                      "#!/bin/sh\n" + standsIn + "='" + s.path + "' exec '" + program + "' \"$@\"\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e := &engine{Images: map[string]string{"payaid:v1": "sha256:p1", "payaid-backup:v1": "sha256:b1"}, Versions: map[string]string{"sha256:p1": "v1", "sha256:b1": "v1"},
		Running: make(map[string]string), Holds: make(map[string][]string), Redis: []string{s.read(t, "secrets/redis_password")},
		Postgres: map[string]string{"payaid_service": s.read(t, "secrets/postgres_service_password")},
		NATS:     usersOf(filepath.Join(string(s.installation), "secrets/nats_auth"))}
	for _, name := range []string{"relay", "worker-cache", "worker-webhook", "worker-mail", "worker-ai", "worker-maintenance", "api"} {
		e.Running[name] = "sha256:p1"
		e.Holds[name] = []string{s.read(t, "secrets/database_url"), s.read(t, "secrets/redis_url"), s.read(t, "secrets/nats_url")}
	}
	e.Running["worker-maintenance"] = "sha256:b1"
	if e.look(); len(e.Faults) > 0 {
		t.Fatalf("it begins with %q", e.Faults)
	}
	if err := e.write(s.path); err != nil {
		t.Fatal(err)
	}
	return s
}

// engine is what has become of it, without a fault.
func (s stage) engine(t *testing.T) *engine {
	t.Helper()
	e, err := readEngine(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range e.Faults {
		t.Error(fault)
	}
	return e
}

// change changes the engine from outside.
func (s stage) change(t *testing.T, change func(*engine)) {
	t.Helper()
	e := s.engine(t)
	change(e)
	if err := e.write(s.path); err != nil {
		t.Fatal(err)
	}
}

// script runs one of the scripts.
func (s stage) script(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command("./"+name, args...)
	cmd.Dir = string(s.installation)
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
