package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// What is kept of an attempt's lines is bounded, and says what was left out.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	for what, line := range map[string]string{"many lines": "x", "long lines": strings.Repeat("x ", 4<<10)} {
		ctx, journal := Keeping(t.Context(), slog.New(slog.DiscardHandler))
		if journal.list() != nil || !journal.Empty() {
			t.Errorf("%s: an empty journal says something", what)
		}
		for range 1000 {
			LogOf(ctx, nil).Debug(line, "value", line)
		}
		var lines []journalLine
		data := journal.list()
		if err := json.Unmarshal(data, &lines); err != nil {
			t.Fatal(err)
		}
		if len(lines) > journalLines+1 || len(data) > journalBytes+1024 || len(lines) < 10 {
			t.Errorf("%s: %d lines of %d bytes", what, len(lines), len(data))
		}
		if last := lines[len(lines)-1]; last.Level != "WARN" || !strings.HasSuffix(last.Message, " more lines were left out") {
			t.Errorf("%s: the last line is %+v", what, last)
		}
	}
}

// Neither people nor what opens a door are kept, wherever in a line they stand; ids are.
func TestJournalKeepsNoSecrets(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	ctx, journal := Keeping(t.Context(), slog.New(slog.NewTextHandler(&told, nil)), "job_id", 1)
	log := LogOf(ctx, nil).With("who", "asha@example.com").WithGroup("in")
	const id = "01970000-9845-7012-8450-984501234598"
	log.Info("asked +91 98450 12345", "error", errors.New("get https://user:hunter2@host/x?token=hunter2: 401 for Bearer abcdefghijkl"),
		slog.Group("deep", "key", "pay_hunter2hunter2"), "id", id, "n", 3, "is", true)
	kept := string(journal.list())
	for _, secret := range []string{"asha@", "98450 12345", "hunter2", "abcdefghijkl"} {
		if strings.Contains(kept, secret) {
			t.Errorf("%s is kept: %s", secret, kept)
		}
	}
	for _, wanted := range []string{`"in.id":"` + id + `"`, `"in.n":3`, `"in.is":true`, `"who":"[email]"`, `"in.deep.key":"[secret]"`, "get https://host/x"} {
		if !strings.Contains(kept, wanted) {
			t.Errorf("%s is not kept: %s", wanted, kept)
		}
	}
	if !strings.Contains(told.String(), "job_id=1 who=") || strings.Contains(kept, "job_id") {
		t.Errorf("told %s", told.String())
	}
}
