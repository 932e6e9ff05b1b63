package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// canary stands in every secret; nothing that anybody can read may sing it.
const canary = "canary4canary4canary4canary4canary4"

// helpShows names the settings that are right, with which the help of each command is asked for too.
const helpShows = "nobody answers"

// secretSettings are all the variables that are secret: as they should be, and mistaken in ways that
// tempt a program to repeat them.
var secretSettings = map[string][]string{
	helpShows: {
		"DATABASE_URL=postgres://user:" + canary + "@127.0.0.1:1/payaid?sslmode=disable",
		"NATS_URL=nats://user:" + canary + "@127.0.0.1:1", "REDIS_URL=redis://:" + canary + "@127.0.0.1:1/0",
		"PAYAID_ADMIN_KEY=" + canary, "GROQ_API_KEY_FALLBACK=" + canary,
		"SMTP_HOST=127.0.0.1", "SMTP_PORT=1", "SMTP_FROM=a@example.com", "SMTP_USER=user", "SMTP_PASS=" + canary,
		"BACKUP_DIR=/nowhere/at/all", "BACKUP_DATABASE_URL=postgres://user:" + canary + "@127.0.0.1:1/payaid?sslmode=disable",
		"BACKUP_PING_URL=http://127.0.0.1:1/" + canary, "BACKUP_S3_ENDPOINT=http://127.0.0.1:1", "BACKUP_S3_BUCKET=backups",
		"BACKUP_S3_ACCESS_KEY=" + canary, "BACKUP_S3_SECRET_KEY=" + canary,
	},
	"no URLs": {
		"DATABASE_URL=postgres://user:" + canary + "@127.0.0.1:port/payaid", "NATS_URL=nats://user:" + canary + "@%zz",
		"REDIS_URL=redis://:" + canary + "@[::1/0", "PAYAID_ADMIN_KEY=" + canary, "GROQ_API_KEY_FALLBACK=" + canary + "\x01",
		"SMTP_HOST=127.0.0.1", "SMTP_PASS=" + canary,
		"BACKUP_DATABASE_URL=postgres://user:" + canary + "@127.0.0.1:port/payaid", "BACKUP_PING_URL=http://[" + canary,
		"BACKUP_S3_ENDPOINT=https://user:" + canary + "@%zz", "BACKUP_S3_SECRET_KEY=" + canary, "BACKUP_AGE_IDENTITY=AGE-SECRET-KEY-1" + canary,
	},
	"other schemes": {
		"DATABASE_URL=" + canary + "://user:" + canary + "@host/payaid", "NATS_URL=" + canary, "REDIS_URL=" + canary + "://host",
		"PAYAID_ADMIN_KEY=" + canary, "GROQ_API_KEY_FALLBACK=" + canary + " " + canary,
		"BACKUP_DATABASE_URL=" + canary, "BACKUP_PING_URL=" + canary + "://host", "BACKUP_S3_ENDPOINT=" + canary, "BACKUP_AGE_IDENTITY=" + canary,
	},
	"right at first sight": {
		"DATABASE_URL=postgres://user:" + canary + "@127.0.0.1:1/payaid?sslmode=x&password=" + canary,
		"NATS_URL=nats://" + canary + "@127.0.0.1:1", "REDIS_URL=redis://:" + canary + "@127.0.0.1:1/" + canary,
		"PAYAID_ADMIN_KEY=" + canary, "GROQ_API_KEY_FALLBACK=" + canary + "\n" + canary,
	},
	"a bad NATS_URL": {"DATABASE_URL=postgres://127.0.0.1:1/payaid", "NATS_URL=nats://user:" + canary + "@%zz"},
	"a bad REDIS_URL": {"DATABASE_URL=postgres://127.0.0.1:1/payaid", "NATS_URL=nats://127.0.0.1:1",
		"REDIS_URL=redis://:" + canary + "@%zz", "PAYAID_ADMIN_KEY=" + canary[:20]},
	"as flags": nil,
}

func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	commands := [][]string{
		{"api"}, {"relay"}, {"worker", "--queue=ai"}, {"migrate", "status"}, {"doctor"}, {"keys", "list", "--organization=operator"},
		{"jobs", "list"}, {"healthcheck"}, {"up", "--exit"}, {"bench", "--help"},
		{"events", "tail"}, {"events", "dead"}, {"events", "replay", "--since=1h"}, {"events", "new-epoch", "--yes"},
	}
	for name, env := range secretSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range commands {
				if env == nil {
					args = append(args, "--database-url="+canary, "--nonsense="+canary)
				}
				silent(t, env, args)
				if name == helpShows {
					silent(t, env, append(args, "--help"))
				}
			}
		})
	}
}

// heard keeps what a command says, and calls back with its first words.
type heard struct {
	text  bytes.Buffer
	first func()
}

// Write implements io.Writer.
func (h *heard) Write(p []byte) (int, error) {
	if h.text.Len() == 0 {
		h.first()
	}
	return h.text.Write(p)
}

// words are what a command says, which is asked to end a second after it began to talk, or when it has said nothing for
// so long, as some do while they wait for a server.
func words(t *testing.T, silence time.Duration, env, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	output := &heard{first: func() { time.AfterFunc(time.Second, cancel) }}
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Args[0] = "payaid" // what testscript goes by
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0", "LOG_LEVEL=debug", "LISTEN=127.0.0.1:0", "OLLAMA_URL=http://127.0.0.1:1",
		"GROQ_BASE_URL=http://127.0.0.1:1/v1"}, env...)
	cmd.Stdout, cmd.Stderr = output, output
	_ = cmd.Run() // whether it worked is not what is asked here
	return output.text.String()
}

// silent runs a command, which ends by itself or is asked to, and searches its output.
func silent(t *testing.T, env, args []string) {
	t.Helper()
	output := words(t, 2*time.Second, env, args)
	if output == "" { // it was asked to end before it had begun
		output = words(t, 30*time.Second, env, args)
	}
	if output == "" {
		t.Errorf("payaid %s says nothing", strings.Join(args, " "))
	}
	if strings.Contains(output, canary) {
		t.Errorf("payaid %s shows a secret:\n%s", strings.Join(args, " "), output)
	}
}
