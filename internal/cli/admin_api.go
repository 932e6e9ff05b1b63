package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/operator"
)

// adminAPI are the settings of commands that ask the API as an admin: one that runs, or with DATABASE_URL one of the
// command's own, in its process.
type adminAPI struct {
	operatorSettings
	URL      string `env:"PAYAID_URL" placeholder:"URL" help:"Of the API, such as https://payaid.example. Without it DATABASE_URL, or a running 'payaid up', is used."`
	AdminKey string `env:"PAYAID_ADMIN_KEY" secret:"" help:"With the scope admin, or admin_read to look only; the key of an 'up' is found by itself."`
}

// commandLine is who acts in the audit log where a command does, with the rights of the database's login.
const commandLine = "command-line"

// with hands the API to do.
func (s adminAPI) with(ctx context.Context, a *app, do func(*operator.Client) error) error {
	p := a.problems()
	if err := p.err(); err != nil {
		return err
	}
	if s.URL != "" {
		if s.AdminKey == "" {
			return errors.New("PAYAID_URL is set, and PAYAID_ADMIN_KEY is not")
		}
		return do(&operator.Client{URL: s.URL, Key: s.AdminKey, HTTP: httpClient})
	}
	if s.DatabaseURL == "" {
		r, key, err := s.ofUp(a)
		if err != nil {
			return err
		}
		if key != "" {
			return do(&operator.Client{URL: r.API, Key: key, HTTP: httpClient})
		}
	}
	r, err := s.find(a)
	if err != nil {
		return err
	}
	return ownAPI(ctx, a, r.DatabaseURL, do)
}

// ownAPI hands do an API that answers in this process, for who may log in to the database.
func ownAPI(ctx context.Context, a *app, databaseURL string, do func(*operator.Client) error) error {
	db, err := store.Open(ctx, store.PoolOptions{URL: databaseURL, Role: store.App, Name: "payaid-command", MaxConns: 4, AcquireWait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Ready(ctx); err != nil {
		return advised(err)
	}
	server, err := api.New(api.Config{DB: db, Kinds: kinds(a.table(jobs.Deps{})), Hints: nobodyHears{}, Version: version(),
		Log: telemetry.NewLog(a.stderr, telemetry.Text, slog.LevelError)})
	if err != nil {
		return err
	}
	defer server.Close()
	return do(&operator.Client{URL: "http://inside", HTTP: server.Inside(api.Operator{KeyID: commandLine, KeyName: commandLine,
		OrganizationID: store.OperatorOrganization, Role: store.RoleAdmin})})
}

// ofUp finds a running up, and its key where it is kept.
func (s adminAPI) ofUp(a *app) (running, string, error) {
	dir := s.Data
	if dir == "" {
		dir = defaultData(a.lookup)
	}
	r, err := readRunning(dir)
	if err != nil || s.AdminKey != "" {
		return r, s.AdminKey, err
	}
	key, err := os.ReadFile(filepath.Join(dir, "admin-key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, "", fmt.Errorf("read the admin key of %s: %w", dir, err)
	}
	return r, strings.TrimSpace(string(key)), nil
}

// nobodyHears stands in for hints to other processes, which look by themselves.
type nobodyHears struct{}

func (nobodyHears) OutboxChanged()                       {}
func (nobodyHears) JobChanged(string)                    {}
func (nobodyHears) Jobs() (<-chan struct{}, func())      { return nil, func() {} }
func (nobodyHears) Job(string) (<-chan struct{}, func()) { return nil, func() {} }
