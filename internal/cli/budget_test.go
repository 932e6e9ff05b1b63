package cli

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
)

func TestPoolSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		want pool
	}{
		{"postgres://u@h/x", pool{url: "postgres://u@h/x", size: 20, most: 30, timeout: 30 * time.Second}},
		{"postgres://u@h/x?pool_size=7&max_overflow=2&timeout=9&sslmode=disable", pool{url: "postgres://u@h/x?sslmode=disable", size: 7, most: 9, timeout: 9 * time.Second}},
		{"postgres://u@h/x?options=-c%20role%3Dy&timeout=5s", pool{url: "postgres://u@h/x?options=-c%20role%3Dy", size: 20, most: 30, timeout: 5 * time.Second}},
		{"postgres://u@h/x?max_overflow=0", pool{url: "postgres://u@h/x", size: 20, most: 20, timeout: 30 * time.Second}},
	} {
		var p problems
		got := databaseSettings{DatabaseURL: c.url, DBPoolSize: "20", DBPoolOverflow: "10", DBPoolTimeout: "30s"}.check(&p)
		if err := p.err(); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.url, got, err, c.want)
		}
	}
}

func TestLimitSettings(t *testing.T) {
	t.Parallel()
	networks := func(list ...string) (out []netip.Prefix) {
		for _, one := range list {
			out = append(out, netip.MustParsePrefix(one))
		}
		return out
	}
	for _, c := range []struct {
		in   limitSettings
		want limits
	}{
		{limitSettings{"true", "100", "60s", ""}, limits{requests: 100, window: time.Minute}},
		{limitSettings{"1", "7", "90", " 10.0.0.0/8 , 2001:db8::1,"}, limits{requests: 7, window: 90 * time.Second, proxies: networks("10.0.0.0/8", "2001:db8::1/128")}},
		{limitSettings{"false", "100", "2m", "192.0.2.1"}, limits{window: 2 * time.Minute, proxies: networks("192.0.2.1/32")}},
	} {
		var p problems
		got := c.in.check(&p)
		if err := p.err(); err != nil || got.requests != c.want.requests || got.window != c.want.window || !slices.Equal(got.proxies, c.want.proxies) {
			t.Errorf("%+v: got %+v, %v", c.in, got, err)
		}
	}
	none, err := limits{}.limiter("redis://127.0.0.1:1", slog.New(slog.DiscardHandler))
	if none != nil || err != nil {
		t.Errorf("without a limit: %v, %v", none, err)
	}
}

// A process that could take more connections than there are does not start; where the sum is too much the
// operator is told.
func TestBudgetAtStart(t *testing.T) {
	t.Parallel()
	pg := localstack.TestPostgres(t)
	url := pg.URL(pg.NewDatabase(t, ""))
	var log bytes.Buffer
	check := func(most int) error {
		log.Reset()
		return checkBudget(t.Context(), url, newProcess("payaid-api", most), slog.New(slog.NewTextHandler(&log, nil)))
	}
	if err := check(30); err != nil {
		t.Errorf("with room for it: %v", err)
	}
	err := check(198)
	if err == nil {
		t.Fatal("198 of 197 connections are no problem")
	}
	for _, part := range []string{"payaid-api may open 198", "gives 197", "max_connections 200", "3 are reserved", "lower DB_POOL_SIZE"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: lacks %q", err, part)
		}
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = newProcess("payaid-worker", 180).ApplicationName("")
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := check(30); err != nil {
		t.Errorf("the sum alone: %v", err)
	}
	if l := log.String(); !strings.Contains(l, "level=WARN") || !strings.Contains(l, "available=197") || !strings.Contains(l, "payaid-worker 180") || !strings.Contains(l, "payaid-api 30") {
		t.Errorf("log %s", l)
	}
	if err := checkBudget(t.Context(), "postgres://u@127.0.0.1:1/x", newProcess("payaid-api", 30), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Errorf("a database that is away is no reason not to start: %v", err)
	}
}
