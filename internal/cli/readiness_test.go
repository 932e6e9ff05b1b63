package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// A process is ready when each of its parts has begun and goes round, and while the database can be used.
func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness([]string{relayPart, workerPart})
		expect := func(want string) {
			t.Helper()
			time.Sleep(probeEvery) // the answer before is kept so long
			err := r.check(t.Context())
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		expect("relay has not begun; worker has not begun")
		var away error
		r.begins(relayPart, func(context.Context) error { return away })
		r.begins(workerPart, func(context.Context) error { return nil })
		expect("relay has not begun")
		relay, worker := r.turns(relayPart), r.turns(workerPart)
		relay()
		expect("worker has not begun")
		worker()
		expect("")
		away = errors.New("dial 10.1.2.3: refused")
		expect("relay: the database can't be used")
		if err := r.check(t.Context()); strings.Contains(err.Error(), "10.1.2.3") {
			t.Errorf("it tells strangers where the database is: %v", err)
		}
		away = nil
		expect("")
		time.Sleep(longestTurn)
		relay()
		expect("worker has not come round")
		worker()
		expect("")
		r.begins(workerPart, func(context.Context) error { return nil }) // it starts anew
		expect("worker has not begun")
		worker()
		expect("")
		r.stops()
		expect("about to end")
	})
}

// A loop that shows life never waits for somebody who asks for readiness, however long the database takes.
func TestReadinessHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newReadiness([]string{workerPart})
	asked, done := make(chan struct{}), make(chan struct{})
	r.begins(workerPart, func(ctx context.Context) error {
		close(asked)
		<-done
		return ctx.Err()
	})
	turn := r.turns(workerPart)
	turn()
	answered := make(chan error, 1)
	go func() { answered <- r.check(t.Context()) }()
	<-asked
	turn() // would hang here
	close(done)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// Each kind of process answers for itself, by the command that containers run.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	pg, _ := localstack.TestTemplate(t, migrations.Up)
	nats, redis := localstack.TestNATS(t), localstack.TestRedis(t)
	for name, line := range map[string]string{
		"api": "payaid api", "relay": "payaid relay", "worker": "payaid worker --queue cache",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := pg.URL(pg.NewDatabase(t, "")) // not migrated yet
			gate := localstack.NewGate(t, databaseHost(t, database))
			port, other := freeAddress(t), freeAddress(t)
			env := []string{"DATABASE_URL=" + strings.Replace(database, databaseHost(t, database), gate.Addr(), 1),
				"NATS_URL=" + nats.URL(), "REDIS_URL=" + redis.URL(), "METRICS_LISTEN=" + port, "STOP_GRACE=5s", "DRAIN_PAUSE=1s"}
			if name == "api" {
				env = append(env, "LISTEN="+other)
			}
			check := func() bool {
				p := startProgram(t, "payaid healthcheck", env...)
				<-p.exited
				return p.err == nil
			}
			if check() {
				t.Fatal("nobody runs, and it is healthy")
			}
			p := startProgram(t, line, env...)
			p.log.await(t, "database can't be used")
			if check() || readyAt(t, port) == http.StatusOK {
				t.Error("it is ready without a schema")
			}
			if _, err := migrations.Up(t.Context(), database); err != nil {
				t.Fatal(err)
			}
			awaitReady(t, port, http.StatusOK)
			awaitHealth(t, check, true)
			gate.Shut()
			awaitReady(t, port, http.StatusServiceUnavailable)
			awaitHealth(t, check, false)
			if got := statusAt(t, "http://"+port+"/livez"); got != http.StatusOK {
				t.Errorf("/livez answers %d while the database is away", got)
			}
			gate.Open()
			awaitReady(t, port, http.StatusOK)
			p.terminate(t, 20*time.Second)
			if check() {
				t.Error("it has ended, and is healthy")
			}
		})
	}
}

// awaitHealth asks until it is as it should be: each address of a process asks the database for itself, and once in half
// a second.
func awaitHealth(t *testing.T, check func() bool, want bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); check() != want; {
		if time.Now().After(deadline) {
			t.Fatalf("for 30 s it is healthy: %v, want %v", !want, want)
		}
	}
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// readyAt is the status of readiness, 0 where nobody answers.
func readyAt(t *testing.T, address string) int {
	t.Helper()
	return statusAt(t, "http://"+address+"/readyz")
}

func statusAt(t *testing.T, url string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func awaitReady(t *testing.T, address string, want int) {
	t.Helper()
	got, deadline := 0, time.Now().Add(30*time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); time.Now().Before(deadline); <-tick.C {
		if got = readyAt(t, address); got == want {
			return
		}
	}
	t.Fatalf("readiness is %d, want %d", got, want)
}
