package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/pghealth"
)

// sampleIndexesArgs are River's arguments of db.index_sample.
type sampleIndexesArgs struct{ Cue }

// Kind implements river.JobArgs.
func (sampleIndexesArgs) Kind() string { return "db.index_sample" }

// asksNothing is the input of kinds that have none.
func asksNothing(context.Context, cause) (any, bool, error) { return struct{}{}, true, nil }

// indexSample is the output of db.index_sample.
type indexSample struct {
	SampleID string         `json:"sample_id"`
	TakenAt  time.Time      `json:"taken_at"`
	Indexes  int            `json:"indexes"`
	TookMS   float64        `json:"took_ms"`
	Findings map[string]int `json:"findings"`
	Behind   bool           `json:"behind"`
}

const codeOldServer = "server_too_old"

var sampleIndexesSpec = Spec{
	Queue: Maintenance, Timeout: 2 * time.Minute, MaxAttempts: 5, Backoff: exponential(5*time.Second, time.Minute), Scope: "admin",
	Cron:    "7 * * * *",
	Summary: "Writes down what the indexes of the database have done until now, and looks for what is wrong with them.",
	Notes: "It runs by itself every hour; GET /api/system/index-health shows what samples tell. A sample is kept for 30 days, " +
		"and what each index did on a day for 400.",
	Fails:       sampleCodes,
	Check:       func(input json.RawMessage) []Fault { return strict(input, &struct{}{}) },
	InputSchema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{}}`),
	OutputSchema: json.RawMessage(documentSchema(`
		"sample_id":{"type":"string","format":"uuid"},
		"taken_at":{"type":"string","format":"date-time"},
		"indexes":{"type":"integer","minimum":0},
		"took_ms":{"type":"number","minimum":0,"description":"what reading and writing the counters took, by the database's clock"},
		"findings":{"type":"object","additionalProperties":{"type":"integer","minimum":1},"description":"how many, by kind; what is kept on purpose is left out"},
		"behind":{"type":"boolean","description":"old samples could not be dropped yet, as somebody was reading them"}`,
		"sample_id", "taken_at", "indexes", "took_ms", "findings", "behind")),
}

// sampleIndexes takes samples of what indexes do.
type sampleIndexes struct{ deps Deps }

// Run implements Work. An attempt that is repeated takes another sample, which does no harm.
func (w sampleIndexes) Run(ctx context.Context, _ sampleIndexesArgs, t *Task) (Result, error) {
	var taken pghealth.Taken
	var report *pghealth.Report
	err := w.deps.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
		taken, err = pghealth.Take(ctx, tx, outbox.NewID())
		return err
	})
	if err == nil {
		err = w.deps.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
			report, err = pghealth.Examine(ctx, tx, pghealth.Options{Points: 2})
			return err
		})
	}
	if errors.Is(err, pghealth.ErrTooOld) {
		return Result{}, &Failure{Code: codeOldServer, Title: "Server too old", Detail: fmt.Sprintf("No sample was taken: %v.", pghealth.ErrTooOld)}
	}
	if err != nil {
		return Result{}, err
	}
	out := indexSample{SampleID: taken.ID, TakenAt: taken.At.UTC(), Indexes: taken.Indexes, Behind: taken.Behind,
		TookMS: float64(taken.Took.Microseconds()) / 1000, Findings: pghealth.Counts(report.Findings)}
	return Result{Output: out, Change: func(ctx context.Context, tx pgx.Tx) ([]events.Fact, error) {
		return []events.Fact{events.IndexHealthSampled{SampleID: out.SampleID, TakenAt: out.TakenAt, Indexes: out.Indexes,
			Findings: out.Findings, JobID: t.ID, Version: 1}}, pghealth.NoteFindings(ctx, tx, out.SampleID, out.Findings)
	}}, nil
}
