package cli

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// readProcfile gives the commands by their types.
func readProcfile(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile("../../Procfile")
	if err != nil {
		t.Fatal(err)
	}
	commands := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		name, command, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if _, twice := commands[name]; !ok || twice {
			t.Errorf("Procfile: line %q", line)
		}
		commands[name] = command
	}
	return commands
}

// The Procfile has one type for each process that a whole installation needs, and each line of it works: it starts
// on a real stack as a runner of Procfiles starts it, and ends well when it is told to.
func TestProcfile(t *testing.T) {
	t.Parallel()
	commands := readProcfile(t)
	want := []string{"api", "relay"}
	for _, q := range jobs.Queues() {
		want = append(want, "worker-"+q.Name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(commands)); !slices.Equal(got, want) {
		t.Errorf("the types are %q, want %q", got, want)
	}
	pg, template := localstack.TestTemplate(t, migrations.Up)
	database := pg.URL(pg.NewDatabase(t, template))
	nats, redis := localstack.TestNATS(t), localstack.TestRedis(t)
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			p := startProgram(t, command, "DATABASE_URL="+database, "NATS_URL="+nats.URL(), "REDIS_URL="+redis.URL(),
				"LISTEN=127.0.0.1:0", "DB_POOL_SIZE=2", "DB_POOL_OVERFLOW=2", "OLLAMA_WARM=none", "NOTIFY_SOCKET="+m.address)
			m.await(t, "READY=1", 30*time.Second)
			if queue, ok := strings.CutPrefix(name, "worker-"); ok {
				p.log.await(t, "queues=map["+queue+":")
			}
			p.terminate(t, 20*time.Second)
		})
	}
}
