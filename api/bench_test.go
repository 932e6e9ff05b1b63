package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

const benchClients = 64

// benchRig is an API on a Postgres that really writes to disk.
func benchRig(b *testing.B) (*Server, string) {
	b.Helper()
	// Postgres runs as another user when root runs the tests, and must get in.
	dir, err := os.MkdirTemp("", "payaid-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		b.Fatal(err)
	}
	pg, err := localstack.StartPostgres(b.Context(), localstack.PostgresOptions{Dir: dir, Fsync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = pg.Stop(context.Background()) })
	if err := pg.CreateDatabase(b.Context(), "bench", ""); err != nil {
		b.Fatal(err)
	}
	if _, err := migrations.Up(b.Context(), pg.URL("bench")); err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(b.Context(), store.PoolOptions{URL: pg.URL("bench"), Role: store.App, MaxConns: benchClients})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	warm(b, db)
	kinds := testKinds()
	kinds[0].Share = 1 << 30
	s, err := New(Config{DB: db, Kinds: kinds, Hints: newLocalHints(), AdminKey: testAdminKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s, pg.URL("bench")
}

// warm opens every connection: making one costs as much as a hundred commits.
func warm(b *testing.B, db *store.DB) {
	b.Helper()
	var all []*pgxpool.Conn
	for range benchClients {
		c, err := db.Pool().Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		c.Release()
	}
}

// BenchmarkCommit stores the rows of a submitted job from 64 connections: what submits are measured by.
func BenchmarkCommit(b *testing.B) {
	s, _ := benchRig(b)
	x := &exchange{caller: caller{OrganizationID: store.OperatorOrganization}, id: madeRequestID(), traceParent: traceParent("")}
	sub := submission{kind: &s.Kinds[0], input: json.RawMessage(`{"prompt":"hello"}`), metadata: json.RawMessage(`{}`), priority: 2}
	b.SetParallelism(benchClients / 2)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now().UTC()
			sub := sub
			sub.runAt = now
			j := newJob(x, sub, outbox.NewID(), outbox.NewID(), now)
			batch := store.BatchAs(j.OrganizationID)
			if err := queueJobs(batch, x, nil, []store.Job{j}); err != nil {
				b.Fatal(err)
			}
			if err := s.DB.Send(b.Context(), batch); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkSubmit hands jobs over from 64 clients by HTTP.
func BenchmarkSubmit(b *testing.B) {
	s, _ := benchRig(b)
	server := httptest.NewServer(s.Handler())
	b.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchClients}}
	b.SetParallelism(benchClients / 2)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequest("POST", server.URL+"/api/jobs", bytes.NewReader([]byte(aCompletion)))
			req.Header.Set("Authorization", "Bearer "+testAdminKey)
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				b.Errorf("got %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
	client.CloseIdleConnections()
}

// BenchmarkSubmitParse is what the API itself costs, without network and database.
func BenchmarkSubmitParse(b *testing.B) {
	s, err := build(Config{Kinds: testKinds()})
	if err != nil {
		b.Fatal(err)
	}
	x := &exchange{caller: caller{OrganizationID: store.OperatorOrganization, scopes: everything}, id: "x", body: []byte(aCompletion)}
	b.ReportAllocs()
	for b.Loop() {
		if err := checkBody(x.body); err != nil {
			b.Fatal(err)
		}
		p := s.parser(x)
		j := newJob(x, p.job(x.body, ""), "a", "b", p.now)
		if _, err := encode(viewOf(j)); err != nil {
			b.Fatal(err)
		}
	}
}
