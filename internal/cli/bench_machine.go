package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// describe prints the machine that the figures are of.
func (b *bench) describe(ctx context.Context, w io.Writer) error {
	syncs, err := syncRate(b.dir)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.postgres.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(ctx)
	var postgres string
	if err := conn.QueryRow(ctx, `SHOW server_version`).Scan(&postgres); err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	fmt.Fprintf(w, "payaid %s, %s, %d cores (%s), %s of memory, Postgres %s\n", version(), runtime.Version(), runtime.NumCPU(),
		fromProc("/proc/cpuinfo", "model name"), fromProc("/proc/meminfo", "MemTotal"), postgres)
	fmt.Fprintf(w, "disk: %.0f synced writes of 8 kB per second by one writer\n", syncs)
	fmt.Fprintln(w, "everything runs on this machine, clients included; compare the rows of one run, not runs")
	return nil
}

// fromProc reads one field of a file of /proc, "unknown" where there is none.
func fromProc(path, field string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(name) == field {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// syncRate is how many small writes per second the disk makes durable, one after the other: what bounds
// every commit.
func syncRate(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 8192)
	n, began := 0, time.Now()
	for time.Since(began) < time.Second {
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
