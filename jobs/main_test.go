package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

// asWorker makes the test binary a worker process that a test can kill the hard way.
const asWorker = "PAYAID_TEST_WORKER_OF"

func TestMain(m *testing.M) {
	if where, ok := os.LookupEnv(asWorker); ok {
		beWorker(where)
		return
	}
	if where, ok := os.LookupEnv(asKeeper); ok {
		beKeeper(where)
		return
	}
	os.Exit(localstack.RunTests(m))
}

// places are the servers that a worker process works with.
type places struct{ Database, NATS, Redis, Ollama, Groq string }

// process starts a worker of the ai queue in a process of its own, which ends with the test at the latest.
func (s *site) process() (kill func()) {
	s.t.Helper()
	where, err := json.Marshal(places{s.url, s.nc.ConnectedUrl(), localstack.TestRedis(s.t).URL(), s.ollama.URL, s.groq.URL + "/v1"})
	s.must(err)
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), asWorker+"="+string(where))
	p.Stderr = s.logged
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.must(p.Start())
	kill = func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	s.t.Cleanup(kill)
	return kill
}

// beWorker works one job of the ai queue at a time.
func beWorker(where string) {
	var at places
	exitOn(json.Unmarshal([]byte(where), &at))
	ctx := context.Background()
	open := func(relaxed bool) *store.DB {
		db, err := store.Open(ctx, store.PoolOptions{URL: at.Database, Role: store.System, Name: "killed", MaxConns: 8, Relaxed: relaxed})
		exitOn(err)
		return db
	}
	nc, err := nats.Connect(at.NATS)
	exitOn(err)
	log, err := stream.Open(nc)
	exitOn(err)
	cache, err := cachetag.Open(cachetag.Options{URL: at.Redis, ReadTimeout: patience, WriteTimeout: patience})
	exitOn(err)
	chain, err := inference.New(inference.Config{OllamaEnabled: true, OllamaURL: at.Ollama, GroqKey: "gsk_secret", GroqBaseURL: at.Groq,
		Patience: patience, FastBudget: 2 * patience})
	exitOn(err)
	logged := (&record{}).log()
	d := jobs.Deps{DB: open(false), Relaxed: open(true), Hints: hint.New(nc), Model: chain, Cache: cache, Answers: cache, Log: logged}
	exitOn(workers.New(workers.Config{DB: d.DB, Relaxed: d.Relaxed, Stream: log, Table: jobs.All(d), Queues: map[string]int{"ai": 1},
		Hints: d.Hints, Version: "test", Log: logged, Beat: 300 * time.Millisecond}).Run(ctx))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
