package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// NewJobBody is a job to be made for an organization.
type NewJobBody struct {
	OrganizationID string          `json:"organization_id" format:"uuid" doc:"Whose job it is"`
	Kind           string          `json:"kind"`
	Input          operator.Object `json:"input" doc:"As the kind asks"`
	Priority       string          `json:"priority,omitempty" enum:"high,normal,low"`
	RunAt          *time.Time      `json:"run_at,omitempty" nullable:"true" doc:"Not before; a time in the past is now"`
	Metadata       operator.Object `json:"metadata,omitempty"`
}

type newJobInput struct{ Body NewJobBody }

// adminNewJob makes a job for an organization, by the checks that its own submits pass.
func (s *Server) adminNewJob(ctx context.Context, in *newJobInput) (*jobRefOutput, error) {
	return s.makeJob(ctx, "new", in.Body, "")
}

// AgainBody is what is to be different in a job that is made after another.
type AgainBody struct {
	Input    operator.Object `json:"input,omitempty" doc:"null: the same"`
	Priority string          `json:"priority,omitempty" enum:"high,normal,low"`
	RunAt    *time.Time      `json:"run_at,omitempty" nullable:"true"`
}

type againInput struct {
	ID   string `path:"id" format:"uuid"`
	Body AgainBody
}

// adminJobAgain makes a new job like another, of the same organization. What that one called back is not called.
func (s *Server) adminJobAgain(ctx context.Context, in *againInput) (*jobRefOutput, error) {
	d, err := s.readAdminJob(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if d.Job == nil {
		return nil, refuse("conflict", "a fact or the clock started this job, so there is no input to run it with again; retry it instead")
	}
	body := NewJobBody{OrganizationID: d.Job.OrganizationID, Kind: d.Job.Kind, Input: operator.Object(d.Job.Input),
		Metadata: operator.Object(d.Job.Metadata), Priority: in.Body.Priority, RunAt: in.Body.RunAt}
	if len(in.Body.Input) > 0 && string(in.Body.Input) != "null" {
		body.Input = in.Body.Input
	}
	if body.Priority == "" {
		body.Priority = priorityNames[d.Job.Priority]
	}
	return s.makeJob(ctx, "again", body, d.Job.ID)
}

// makeJob makes a job as its organization would have submitted it, and notes who did.
func (s *Server) makeJob(ctx context.Context, action string, body NewJobBody, like string) (*jobRefOutput, error) {
	x := exchangeOf(ctx).onBehalf(body.OrganizationID)
	id := outbox.NewID()
	a := act{Action: "job." + action, Target: "job", ID: id, OrganizationID: body.OrganizationID}
	j, err := s.parseNewJob(x, body, id)
	if err != nil {
		s.noteVain(ctx, a, err)
		return nil, err
	}
	giveBack, err := s.countNewJob(ctx, x, &j)
	if err != nil {
		s.noteVain(ctx, a, err)
		return nil, err
	}
	err = s.act(ctx, a, func(tx pgx.Tx, note *act) error {
		if err := store.OrganizationExists(ctx, tx, body.OrganizationID); err != nil {
			return invalid(Fault{"/organization_id", "there is no such organization"})
		}
		b := &pgx.Batch{}
		if err := queueJobs(b, x, s.kinds, []store.Job{j}); err != nil {
			return err
		}
		after := map[string]any{"status": store.Queued, "kind": j.Kind, "priority": priorityNames[j.Priority], "run_at": j.RunAt}
		if like != "" {
			after["like"] = like
		}
		note.After = after
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		giveBack()
		return nil, err
	}
	s.Hints.OutboxChanged()
	return &jobRefOutput{operator.JobRef{ID: j.ID, Status: store.Queued}}, nil
}

// parseNewJob reads a job by the parser that its organization's submits go through.
func (s *Server) parseNewJob(x *exchange, body NewJobBody, id string) (store.Job, error) {
	fields := map[string]any{"kind": body.Kind, "input": json.RawMessage(body.Input), "run_at": body.RunAt}
	if body.Priority != "" {
		fields["priority"] = body.Priority
	}
	if len(body.Metadata) > 0 && string(body.Metadata) != "null" {
		fields["metadata"] = json.RawMessage(body.Metadata)
	}
	raw, err := encode(fields)
	if err != nil {
		return store.Job{}, err
	}
	if err := checkBody(raw); err != nil {
		return store.Job{}, err
	}
	p := s.parser(x)
	sub := p.job(raw, "")
	if err := p.err(); err != nil {
		return store.Job{}, err
	}
	if sub.kind.Scope == "admin" && body.OrganizationID != store.OperatorOrganization {
		return store.Job{}, invalid(Fault{"/organization_id", "jobs of this kind are the operator's own; leave it to " + store.OperatorOrganization})
	}
	return newJob(x, sub, id, outbox.NewID(), p.now), nil
}

// countNewJob takes what a job of an organization takes: its place in the share, and one of the AI jobs of its plan.
func (s *Server) countNewJob(ctx context.Context, x *exchange, j *store.Job) (giveBack func(), err error) {
	js := []store.Job{*j}
	var ai aiCount
	if ai.kinds = s.aiJobs(js); ai.kinds != nil {
		if ai.terms, err = s.aiTerms(ctx, j.OrganizationID); err != nil {
			return nil, err
		}
	}
	giveRates, err := s.takeRates(ctx, x, ai)
	if err != nil {
		return nil, err
	}
	taken := s.takeShares(ctx, js)
	*j = js[0]
	return func() { giveRates(); s.shares.giveBack(taken) }, nil
}

type jobKindsOutput struct{ Body operator.JobKindList }

// adminJobKinds lists the kinds that may be submitted, each with an input to begin with.
func (s *Server) adminJobKinds(context.Context, *struct{}) (*jobKindsOutput, error) {
	out := &jobKindsOutput{operator.JobKindList{Data: []operator.JobKind{}}}
	for _, name := range slices.Sorted(maps.Keys(s.kinds)) {
		k := s.kinds[name]
		example, err := encode(exampleOf(k.Schema))
		if err != nil {
			return nil, err
		}
		out.Body.Data = append(out.Body.Data, operator.JobKind{Name: k.Name, Queue: k.Queue, Summary: k.Summary,
			Schema: operator.Object(k.Schema), Example: operator.Object(example)})
	}
	return out, nil
}

// exampleOf is an object with the fields that a schema requires.
func exampleOf(schema json.RawMessage) map[string]any {
	var s struct {
		Required   []string `json:"required"`
		Properties map[string]struct {
			Type     any   `json:"type"`
			Enum     []any `json:"enum"`
			Default  any   `json:"default"`
			Examples []any `json:"examples"`
			Format   string
		} `json:"properties"`
	}
	example := map[string]any{}
	if json.Unmarshal(schema, &s) != nil {
		return example
	}
	for _, name := range s.Required {
		p := s.Properties[name]
		switch {
		case len(p.Examples) > 0:
			example[name] = p.Examples[0]
		case p.Default != nil:
			example[name] = p.Default
		case len(p.Enum) > 0:
			example[name] = p.Enum[0]
		default:
			example[name] = map[string]any{"array": []any{}, "object": map[string]any{}, "integer": 0, "number": 0, "boolean": false}[kindOfType(p.Type)]
			if example[name] == nil {
				example[name] = ""
			}
		}
	}
	return example
}

func kindOfType(t any) string {
	switch t := t.(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			return kindOfType(t[0])
		}
	}
	return ""
}
