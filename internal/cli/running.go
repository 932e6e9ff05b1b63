package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// running is what `up` leaves in its folder for other commands: where its services are. It holds
// passwords, so it is readable by its owner alone.
type running struct {
	PID         int    `json:"pid"`
	API         string `json:"api"`
	DatabaseURL string `json:"database_url"`
	NATSURL     string `json:"nats_url"`
	RedisURL    string `json:"redis_url"`
	Metrics     string `json:"metrics,omitempty"`   // for Prometheus
	SinkPort    int    `json:"sink_port,omitempty"` // of the mail sink, where mail goes to one
}

const runningFile = "running.json"

func (r running) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, runningFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("note where the services are: %w", err)
	}
	return os.Rename(path+".new", path)
}

// readRunning finds the services of an `up` by its folder.
func readRunning(dir string) (running, error) {
	var r running
	data, err := os.ReadFile(filepath.Join(dir, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("nothing runs in %s: start `payaid up --data %s`, or set DATABASE_URL", dir, dir)
	}
	if err != nil {
		return r, fmt.Errorf("find the running services: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("find the running services in %s: %w", dir, err)
	}
	if errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH) {
		return r, fmt.Errorf("the `payaid up` of %s (process %d) is gone; start it again", dir, r.PID)
	}
	return r, nil
}

// defaultData is where `up` keeps its data unless it is told otherwise. Root's home is closed to the
// unprivileged user that runs Postgres for root.
func defaultData(lookup func(string) (string, bool)) string {
	if os.Geteuid() == 0 {
		return "/var/lib/payaid"
	}
	if dir, ok := lookup("XDG_DATA_HOME"); ok && dir != "" {
		return filepath.Join(dir, "payaid")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "payaid-data"
	}
	return filepath.Join(home, ".local", "share", "payaid")
}

// operatorSettings are for commands that look into a running product from the side: its services, or
// the folder of an `up`.
type operatorSettings struct {
	DatabaseURL string `env:"DATABASE_URL" secret:"" help:"Postgres. Without it, the services of a running 'payaid up' are used."`
	NATSURL     string `name:"nats-url" env:"NATS_URL" secret:"" help:"NATS."`
	Data        string `help:"Folder of the running 'payaid up'." placeholder:"DIR"`
}

func (s operatorSettings) find(a *app) (running, error) {
	r := running{DatabaseURL: s.DatabaseURL, NATSURL: s.NATSURL}
	p := a.problems()
	if r.DatabaseURL != "" {
		r.DatabaseURL = p.database(r.DatabaseURL)
	}
	if err := p.err(); err != nil || r.DatabaseURL != "" {
		return r, err
	}
	dir := s.Data
	if dir == "" {
		dir = defaultData(a.lookup)
	}
	return readRunning(dir)
}

// dataSettings let a process of its own join the services of an `up`.
type dataSettings struct {
	Data string `help:"Folder of a running 'payaid up' to join: its services are used, so DATABASE_URL is not to be set." placeholder:"DIR"`
}

// join fills in where the services are. Those of one installation and the database of another would be worse
// than none, so a database that is set is not passed over.
func (s dataSettings) join(database *databaseSettings, nats *natsSettings, redis *redisSettings) error {
	if s.Data == "" {
		return nil
	}
	if database.DatabaseURL != "" {
		return errors.New("configuration: --data and DATABASE_URL are both set; keep one")
	}
	r, err := readRunning(s.Data)
	if err != nil {
		return err
	}
	database.DatabaseURL = r.DatabaseURL
	nats.NATSURL, redis.RedisURL = cmp.Or(nats.NATSURL, r.NATSURL), cmp.Or(redis.RedisURL, r.RedisURL)
	return nil
}

// sink is the port of the mail sink that an `up` has; 0 without one.
func (s dataSettings) sink() int {
	if s.Data == "" {
		return 0
	}
	r, err := readRunning(s.Data)
	if err != nil {
		return 0 // join has reported it
	}
	return r.SinkPort
}
