package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

const maxBatch = 1000

// submitJob hands over one job. It is the hot path: without an Idempotency-Key it is one round trip.
func (s *Server) submitJob(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	if err := checkBody(x.body); err != nil {
		return err
	}
	p := s.parser(x)
	sub := p.job(x.body, "")
	if err := p.err(); err != nil {
		return err
	}
	j := newJob(x, sub, outbox.NewID(), outbox.NewID(), p.now)
	body, err := encode(viewOf(j))
	if err != nil {
		return err
	}
	a, err := s.accept(r.Context(), x, []store.Job{j}, answer{
		status:  http.StatusAccepted,
		headers: answerHeaders{Location: jobPath(j.ID), RetryAfter: retryAfter(j, p.now)},
		body:    body,
	})
	if err != nil {
		return err
	}
	return a.write(w)
}

// submitBatch hands over many jobs, all or none.
func (s *Server) submitBatch(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	if err := checkBody(x.body); err != nil {
		return err
	}
	p := s.parser(x)
	list, err := parseBatch(x.body)
	if err != nil {
		return err
	}
	batch := make([]store.Job, 0, len(list))
	views := page[jobView]{Data: make([]jobView, 0, len(list))}
	for i, raw := range list {
		if sub := p.job(raw, "/jobs/"+strconv.Itoa(i)); len(p.faults) == 0 && !p.forbidden {
			batch = append(batch, newJob(x, sub, outbox.NewID(), outbox.NewID(), p.now))
			views.Data = append(views.Data, viewOf(batch[i]))
		}
	}
	if err := p.err(); err != nil {
		return err
	}
	body, err := encode(batchAnswer{Data: views.Data})
	if err != nil {
		return err
	}
	a, err := s.accept(r.Context(), x, batch, answer{
		status:  http.StatusAccepted,
		headers: answerHeaders{Location: "/api/jobs", RetryAfter: "1"},
		body:    body,
	})
	if err != nil {
		return err
	}
	return a.write(w)
}

type batchAnswer struct {
	Data []jobView `json:"data" doc:"In the order of the request"`
}

func parseBatch(body []byte) ([]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return nil, invalid(Fault{"", "must be an object"})
	}
	for name := range fields {
		if name != "jobs" {
			return nil, invalid(Fault{"/" + escapePointer(name), "is not a field of a batch"})
		}
	}
	var list []json.RawMessage
	if json.Unmarshal(fields["jobs"], &list) != nil || len(list) == 0 || len(list) > maxBatch {
		return nil, invalid(Fault{"/jobs", "must be a list of 1 to " + strconv.Itoa(maxBatch) + " jobs"})
	}
	return list, nil
}

func (s *Server) parser(x *exchange) *parser {
	return &parser{kinds: s.kinds, caller: x.caller, now: time.Now().UTC().Truncate(time.Microsecond), callbacks: s.Webhooks}
}

// accept stores jobs with the events that say so, and gives the answer, or that of the first request
// with the same Idempotency-Key.
func (s *Server) accept(ctx context.Context, x *exchange, js []store.Job, a answer) (answer, error) {
	kinds := s.aiJobs(js)
	left := ""
	var terms store.AITerms
	if kinds != nil {
		var err error
		if terms, err = s.aiTerms(ctx, x.caller.OrganizationID); err != nil {
			return a, err
		}
		if left, err = s.budgetLeft(ctx, x.caller.OrganizationID, terms); err != nil {
			return a, err
		}
	}
	taken := s.takeShares(ctx, js)
	a, err := s.storeJobs(ctx, x, js, aiCount{terms, kinds}, a)
	if err != nil || a.replayed {
		s.shares.giveBack(taken)
	} else {
		s.Hints.OutboxChanged()
	}
	a.budgetLeft = left
	return a, err
}

// storeJobs counts AI jobs where they are really made: a repeat makes none, and what can't be stored is given
// back.
func (s *Server) storeJobs(ctx context.Context, x *exchange, js []store.Job, ai aiCount, a answer) (answer, error) {
	ctx, step := x.appends(ctx, events.JobRequested{}.EventType())
	defer step.End()
	giveBack := func() {}
	var err error
	if x.repeatable {
		a, err = s.once(ctx, func(tx pgx.Tx) (_ answer, err error) {
			if giveBack, err = s.takeRates(ctx, x, ai); err != nil {
				return a, err
			}
			b := &pgx.Batch{}
			if err := queueJobs(b, x, s.kinds, js); err != nil {
				return a, err
			}
			return a, tx.SendBatch(ctx, b).Close()
		})
	} else if giveBack, err = s.takeRates(ctx, x, ai); err == nil {
		err = s.gather.store(ctx, x, js)
	}
	if err != nil {
		giveBack()
	}
	return a, err
}

func queueJobs(b *pgx.Batch, x *exchange, kinds map[string]*Kind, js []store.Job) error {
	for i := range js {
		store.QueueJob(b, js[i])
		if k := kinds[js[i].Kind]; k != nil && k.Beside != nil {
			if err := k.Beside(b, js[i]); err != nil {
				return err
			}
		}
		if err := outbox.QueueAs(b, js[i].EventID, x.origin(), requested(js[i])); err != nil {
			return err
		}
	}
	return nil
}

// origin is what led to the events of this request.
func (x *exchange) origin() outbox.Origin {
	return outbox.Origin{OrganizationID: x.caller.OrganizationID, CorrelationID: x.id, TraceParent: x.traceParent,
		Request: outbox.Request{Route: x.purpose.Route, KeyID: x.caller.KeyID, At: x.began}}
}

func requested(j store.Job) events.JobRequested {
	return events.JobRequested{JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run, Priority: j.Priority,
		MaxAttempts: j.MaxAttempts, RunAt: j.RunAt.UTC(), Overflow: j.Overflow, Version: j.Version}
}

// write sends an answer.
func (a answer) write(w http.ResponseWriter) error {
	h := w.Header()
	h["Content-Type"] = jsonType
	if a.headers.Location != "" {
		h["Location"] = []string{a.headers.Location}
	}
	if a.headers.RetryAfter != "" {
		h["Retry-After"] = []string{a.headers.RetryAfter}
	}
	if a.budgetLeft != "" {
		h[budgetHeaderKey] = []string{a.budgetLeft}
	}
	if a.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(a.status)
	// A client that has gone away can't be told; its job is stored.
	_, _ = w.Write(a.body)
	return nil
}

var jsonType = []string{"application/json"}

func documentSubmit(s *Server, api huma.API, op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: s.submitSchema(api)}}}
	op.Responses["202"] = accepted(schemaOf[jobView](api))
	documentCallback(api, op)
}

func documentBatch(_ *Server, api huma.API, op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemaOf[batchBody](api)}}}
	op.Responses["202"] = accepted(schemaOf[batchAnswer](api))
}

func accepted(schema *huma.Schema) *huma.Response {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Response{
		Description: "Accepted: it is stored and will be done",
		Headers: map[string]*huma.Param{
			"Location":             {Schema: text},
			"Retry-After":          {Schema: text, Description: "Seconds until it is worth asking"},
			"Idempotency-Replayed": {Schema: text, Description: "true when this repeats an earlier answer"},
			budgetHeader:           budgetHeaderDoc,
		},
		Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

// submitSchema is the shape of a submitted job, with the inputs of the kinds.
func (s *Server) submitSchema(api huma.API) *huma.Schema {
	schema := schemaOf[submitBody](api)
	documentOutputs(s.Kinds, api.OpenAPI().Components.Schemas.Map())
	var kinds []*huma.Schema
	for _, k := range s.Kinds {
		input := &huma.Schema{Type: huma.TypeObject}
		var given map[string]any
		if json.Unmarshal(k.Schema, &given) == nil && given != nil {
			input = &huma.Schema{Extensions: given}
		}
		kinds = append(kinds, k.describe(input))
	}
	if len(kinds) == 0 {
		return schema
	}
	return &huma.Schema{AllOf: []*huma.Schema{schema, {OneOf: kinds}}}
}
