package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// called is what a receiver reads of a callback.
type called struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Type        string `json:"type"`
	Data        struct {
		JobID    string          `json:"job_id"`
		Attempt  int             `json:"attempt"`
		Status   string          `json:"status"`
		Metadata json.RawMessage `json:"metadata"`
		Output   json.RawMessage `json:"output"`
		Error    json.RawMessage `json:"error"`
		Omitted  bool            `json:"omitted"`
		Links    struct {
			Job string `json:"job"`
		} `json:"links"`
	} `json:"data"`
}

func (c called) says() string {
	d := c.Data
	return fmt.Sprintf("%s %s %s %s %t", d.Status, d.Metadata, d.Output, d.Error, d.Omitted)
}

// A callback has the job's result as long as that is what the fact is of, and not more of it than a receiver
// takes.
func TestCallbackBodyHasTheResultOfItsFact(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	db, err := store.Open(t.Context(), store.PoolOptions{URL: pg.URL(pg.NewDatabase(t, template)), Role: store.System, Name: "test", MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	const large = 256 << 10
	text := func(n int) string { return `{"text": "` + strings.Repeat("a", n-len(`{"text": ""}`)) + `"}` }
	organization := outbox.NewID()
	for _, c := range []struct {
		name, status, output, problem, event string
		version                              int // of the event; the row has 4
		want                                 string
	}{
		{"succeeded", "succeeded", `{"text": "<b>"}`, "", "job.completed", 4, `succeeded {"n": 1} {"text": "<b>"} null false`},
		{"failed", "failed", `{"invalid_answer": "x"}`, `{"code": "schema_invalid"}`, "job.failed", 4,
			`failed {"n": 1} {"invalid_answer": "x"} {"code": "schema_invalid"} false`},
		{"cancelled", "cancelled", "", "", "job.cancelled", 4, `cancelled {"n": 1} null null false`},
		{"as large as may be", "succeeded", text(large), "", "job.completed", 4, `succeeded {"n": 1} ` + text(large) + ` null false`},
		{"too large", "succeeded", text(large + 1), "", "job.completed", 4, `succeeded {"n": 1} null null true`},
		// A retry by hand: the fact is of the run before.
		{"gone on", "queued", "", "", "job.failed", 3, `failed {"n": 1} null null true`},
		{"ended again", "succeeded", `{}`, "", "job.failed", 2, `failed {"n": 1} null null true`},
		{"no longer kept", "", "", "", "job.completed", 4, `succeeded null null null true`},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := outbox.NewID()
			if c.status != "" {
				_, err := db.Pool().Exec(t.Context(), `
					INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, metadata, event_id, status, output, error, finished_at, version)
					VALUES ($1, $2, 'ai.completion', 'ai', 1, '{}', '{"n":1}', gen_random_uuid(), $3, nullif($4, '')::jsonb, nullif($5, '')::jsonb,
					        CASE WHEN $3::text <> 'queued' THEN now() END, 4)`, organization, job, c.status, c.output, c.problem)
				if err != nil {
					t.Fatal(err)
				}
			}
			event := fmt.Sprintf(`{"specversion":"1.0","id":"e","type":%q,"big":12345678901234567890.5,
				"data":{"job_id":%q,"kind":"ai.completion","attempt":2,"version":%d}}`, c.event, job, c.version)
			body, err := jobs.CallbackBody(t.Context(), db.Pool(), organization, []byte(event))
			if err != nil {
				t.Fatal(err)
			}
			var got called
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if got.says() != spaceless(c.want) {
				t.Errorf("%.300s\nwant %.300s", got.says(), spaceless(c.want))
			}
			if got.ID != "e" || got.Type != c.event || got.SpecVersion != "1.0" || got.Data.JobID != job || got.Data.Attempt != 2 ||
				got.Data.Links.Job != "/api/jobs/"+job || !strings.Contains(string(body), "12345678901234567890.5") {
				t.Errorf("the event is no longer itself: %.300s", body)
			}
		})
	}
	t.Run("another organization's", func(t *testing.T) {
		var job string
		if err := db.Pool().QueryRow(t.Context(), `SELECT id FROM jobs WHERE status = 'failed'`).Scan(&job); err != nil {
			t.Fatal(err)
		}
		body, err := jobs.CallbackBody(t.Context(), db.Pool(), outbox.NewID(),
			[]byte(`{"type":"job.failed","data":{"job_id":"`+job+`","version":4}}`))
		if err != nil || strings.Contains(string(body), "schema_invalid") {
			t.Errorf("%s, %v", body, err)
		}
	})
}

// spaceless writes JSON as it is sent: Postgres has a space after a colon.
func spaceless(s string) string { return strings.ReplaceAll(s, `": `, `":`) }
