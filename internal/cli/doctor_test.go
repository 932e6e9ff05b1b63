package cli

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/store"
)

// found is the only finding of a check.
func found(t *testing.T, d doctor, check string) finding {
	t.Helper()
	var got []finding
	for _, f := range d.findings {
		if f.Check == check {
			got = append(got, f)
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d findings of %s in %+v", len(got), check, d.findings)
	}
	return got[0]
}

// says checks the state of what was found, and words of its detail and remedy.
func (f finding) says(t *testing.T, state string, words ...string) {
	t.Helper()
	if f.State != state || (state != fine) != (f.Remedy != "") {
		t.Errorf("got %+v, want %s", f, state)
	}
	for _, w := range words {
		if !strings.Contains(f.Detail+" → "+f.Remedy, w) {
			t.Errorf("got %+v, want %q", f, w)
		}
	}
}

// What hangs and won't hear that its time is over holds nothing else up, and is named.
func TestDoctorWaitsForNobody(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	defer close(hangs)
	began := time.Now()
	var d doctor
	d.examine(t.Context(),
		exam{"stone", 10 * time.Millisecond, func(context.Context, *doctor) { <-hangs }},
		exam{"quick", time.Second, func(_ context.Context, d *doctor) { d.say(fine, "quick", "", "well") }})
	if took := time.Since(began); took > examGrace+10*time.Second {
		t.Errorf("it took %s", took)
	}
	found(t, d, "stone").says(t, broken, "nothing was heard")
	found(t, d, "quick").says(t, fine, "well")
	if d.findings[0].Check != "stone" {
		t.Errorf("the order is lost: %+v", d.findings)
	}
}

func TestDoctorComparesClocks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		off   time.Duration
		state string
		words string
	}{{0, fine, ""}, {1900 * time.Millisecond, fine, ""}, {3 * time.Second, uneasy, "3s ahead of"}, {-time.Hour, uneasy, "1h0m0s behind"}} {
		var d doctor
		d.clock("postgres", now, now.Add(5*time.Millisecond), now.Add(tt.off))
		found(t, d, "clock of postgres").says(t, tt.state, tt.words)
	}
}

// A Redis whose machine lives in the past is named, by what it says itself.
func TestDoctorSeesAClockThatIsWrong(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go speakRedis(conn, time.Now().Add(-time.Minute))
		}
	}()
	var d doctor
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	d.redis(ctx, "redis://"+listener.Addr().String())
	found(t, d, "clock of redis").says(t, uneasy, "behind", "NTP")
}

// speakRedis answers the few things that the doctor asks.
func speakRedis(conn net.Conn, now time.Time) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var n int
		if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
			return
		}
		words := make([]string, n)
		for i := range words {
			var size int
			if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
				return
			}
			word, err := in.ReadString('\n')
			if err != nil {
				return
			}
			words[i] = strings.TrimSpace(word)
		}
		answer := "-ERR unknown command\r\n"
		switch seconds := fmt.Sprint(now.Unix()); strings.ToUpper(words[0]) {
		case "PING":
			answer = "+PONG\r\n"
		case "SET":
			answer = "$-1\r\n"
		case "TIME":
			answer = fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$1\r\n0\r\n", len(seconds), seconds)
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func TestDoctorLooksAtDisks(t *testing.T) {
	t.Parallel()
	used := func(percent float64) machine.Disk {
		return machine.Disk{Name: "data", Path: "/data", Total: 100 << 30, Free: int64(100-percent) << 30, Percent: &percent}
	}
	for _, tt := range []struct {
		disk  machine.Disk
		state string
		words string
	}{
		{used(50), fine, "50.0 GiB free"}, {used(86), uneasy, "14.0 GiB free"}, {used(96), broken, "4.0 GiB free"},
		{machine.Disk{Name: "data", Path: "/data", Reason: "it did not answer"}, uneasy, "did not answer"},
	} {
		var d doctor
		d.disk(tt.disk)
		found(t, d, "disk of data").says(t, tt.state, tt.words)
	}
}

// A real disk that is nearly full.
func TestDoctorSeesADiskThatIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	look := func() finding {
		var d doctor
		d.machine(examination{data: dir})
		return found(t, d, "disk of data")
	}
	look().says(t, fine, dir)
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1000<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	look().says(t, broken, dir, "make room")
}

func TestDoctorReadsTheEnvironment(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	var d doctor
	d.environment([]string{"SMTP_PASSWORD=" + secret, "RATELIMIT_ENABELD=true", "DATABASE_URL=x", "DATABASE_URL_FILE=x", "PATH=/bin", "HOME=/",
		"GROQ_API_KEY=x", "GROQ_API_KEY_FALLBACK=x", "SMTP_PORT=1", "HOSTNAME=x", "BACKUP_DIR=x", "LANGUAGE=en", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x"})
	got := make(map[string]string)
	for _, f := range d.findings {
		if strings.Contains(f.Detail+f.Remedy, secret) {
			t.Errorf("it shows the value: %+v", f)
		}
		got[f.Check] = f.Remedy
	}
	want := map[string]string{"variable SMTP_PASSWORD": "rename it to SMTP_PASS, or remove it",
		"variable RATELIMIT_ENABELD": "rename it to RATELIMIT_ENABLED, or remove it"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDoctorJudgesBackups(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	const day = 24 * time.Hour
	size := int64(1 << 20)
	shown := func(taken time.Duration, trial string) *store.ShownBackup {
		return &store.ShownBackup{Backup: store.Backup{Name: "payaid_x", State: store.BackupCompleted, StartedAt: *ago(taken), SnapshotAt: ago(taken),
			Bytes: &size, Verification: []byte(trial)}}
	}
	const passed = `{"state":"passed"}`
	daily := &store.Schedule{Cron: "0 2 * * *", NextRunAt: now.Add(14 * time.Hour)}
	failed := &store.ShownBackup{Backup: store.Backup{Name: "payaid_y", StartedAt: *ago(time.Minute), Error: []byte(`{"code":"disk_full","detail":"no room","remedy":"make room"}`)}}
	for name, tt := range map[string]struct {
		overview            store.BackupOverview
		check, state, words string
	}{
		"fresh":               {store.BackupOverview{Newest: shown(20*time.Hour, passed), Proven: shown(20*time.Hour, passed), Schedule: daily}, "backups", fine, "1.0 MiB"},
		"fresh and proven":    {store.BackupOverview{Newest: shown(20*time.Hour, passed), Proven: shown(20*time.Hour, passed), Schedule: daily}, "backup verification", fine, "payaid_x"},
		"stale":               {store.BackupOverview{Newest: shown(27*time.Hour, passed), Proven: shown(27*time.Hour, passed), Schedule: daily}, "backups", broken, "payaid backup now"},
		"weekly, not stale":   {store.BackupOverview{Newest: shown(6*day, passed), Proven: shown(6*day, passed), Schedule: &store.Schedule{Cron: "0 2 * * 0"}}, "backups", fine, ""},
		"weekly, stale":       {store.BackupOverview{Newest: shown(8*day, passed), Proven: shown(8*day, passed), Schedule: &store.Schedule{Cron: "0 2 * * 0"}}, "backups", broken, "192 hours"},
		"proof is old":        {store.BackupOverview{Newest: shown(time.Hour, ""), Proven: shown(9*day, passed), Schedule: daily}, "backup verification", broken, "payaid backup verify"},
		"no good":             {store.BackupOverview{Newest: shown(time.Hour, `{"state":"failed","detail":"3 rows are gone"}`), Proven: shown(day, passed), Schedule: daily}, "backup verification", broken, "3 rows"},
		"no key":              {store.BackupOverview{Newest: shown(time.Hour, `{"state":"impossible","detail":"no key"}`), Proven: shown(day, passed), Schedule: daily}, "backup verification", uneasy, "no key"},
		"never proven":        {store.BackupOverview{Newest: shown(4*time.Hour, ""), Schedule: daily}, "backup verification", broken, "nobody knows"},
		"to be proven":        {store.BackupOverview{Newest: shown(time.Minute, ""), Schedule: daily}, "backup verification", uneasy, "yet"},
		"the last one failed": {store.BackupOverview{Newest: shown(20*time.Hour, passed), Failed: failed, Schedule: daily}, "backups", broken, "no room"},
		"none yet":            {store.BackupOverview{Schedule: daily}, "backups", uneasy, "payaid backup now"},
		"none though started": {store.BackupOverview{Schedule: &store.Schedule{Cron: "0 2 * * *", LastRunAt: ago(10 * time.Hour)}}, "backups", broken, "none"},
		"no schedule":         {store.BackupOverview{Newest: shown(time.Hour, passed), Proven: shown(time.Hour, passed)}, "backup schedule", uneasy, "BACKUP_SCHEDULE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d doctor
			d.backups(tt.overview, now)
			found(t, d, tt.check).says(t, tt.state, tt.words)
		})
	}
}

func TestDoctorAsksGroq(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openai/v1/models" || r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	for key, want := range map[string]string{"good": fine, "revoked": broken} {
		var d doctor
		d.groq(t.Context(), inference.Config{GroqKey: key, GroqBaseURL: s.URL + "/openai/v1"})
		f := found(t, d, "groq")
		f.says(t, want, "the key")
		if strings.Contains(f.Detail+f.Remedy, "revoked") {
			t.Errorf("it shows the key: %+v", f)
		}
	}
}

// The folder of backups can't be used, or what is in it is old.
func TestDoctorLooksIntoTheFolderOfBackups(t *testing.T) {
	t.Parallel()
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	look := func(dir, url string) doctor {
		var d doctor
		d.keeper(t.Context(), examination{running: running{DatabaseURL: url}, backups: backups{config: backup.Config{Dir: dir, Retention: backup.Retention{Days: 1}}}})
		return d
	}
	const nowhere = "postgres://127.0.0.1:1/payaid"
	found(t, look(open, nowhere), "backup folder").says(t, broken, "open to others", "chmod 700")
	found(t, look(filepath.Join(open, "none"), nowhere), "backup folder").says(t, broken, "can't be reached")
	found(t, look("", nowhere), "backup folder").says(t, fine, "BACKUP_DIR")
}

func TestSettingNames(t *testing.T) {
	t.Parallel()
	names := sortedNames(settingNames(reflect.TypeFor[commands]()))
	for _, want := range []string{"DATABASE_URL", "DATABASE_URL_FILE", "BACKUP_S3_SECRET_KEY_FILE", "SMTP_PASS", "METRICS_LISTEN", "NATS_MONITOR"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}
