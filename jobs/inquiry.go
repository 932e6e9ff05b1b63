package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// inquiryOptions are the fields that the inputs of all inquiries share.
type inquiryOptions struct {
	Model string `json:"model"`
	Mode  string `json:"mode"`
	Cache string `json:"cache"`
}

func (o inquiryOptions) options() inquiryOptions { return o }

func (o inquiryOptions) optionFaults() []Fault {
	return promptOptions{Model: o.Model, Mode: o.Mode, Cache: o.Cache}.faults()
}

// inquiryOptionsSchema describes inquiryOptions for the API's document.
const inquiryOptionsSchema = `
		"model":{"type":"string","pattern":"` + inference.ModelPattern + `","description":"fast, large or the name of a model","default":"fast"},
		"mode":{"enum":["interactive","relaxed"]},
		"cache":{"const":"no-store","description":"an answer of its own: none that was kept, and none that is kept"}`

// inquiryInput is the input of an inquiry: a struct with inquiryOptions and what it is about.
type inquiryInput interface {
	options() inquiryOptions
	faults() []Fault // the options' among them
	// subject is what the inquiry is about, and the field of the input that names it; "" for none.
	subject(organizationID string) (about store.Subject, pointer string)
}

// An inquiry is a kind that asks about an organization's own records, and keeps the answer with them: In is
// its input, F are the facts that it reads, and Out is what clients get.
type inquiry[In inquiryInput, F, Out any] struct {
	template   template
	summary    string // what the kind does, in a sentence, for the API's document
	rulesSay   string // what rules answer where no model does, in sentences, for the same
	madeFrom   string // what a change of makes a kept answer void, in words, for the same
	properties string // of the input, for the same, the options left out
	required   string
	document   string // JSON schema of Out
	// read gives the facts, in one query; store.ErrNotFound when the subject doesn't exist.
	read func(ctx context.Context, db *store.DB, organizationID string, in In, now time.Time) (F, error)
	// refuse says why nothing can be answered from such facts, nil where something can; nil: always.
	refuse func(facts F) *Failure
	// view is what of the facts the model gets to see, bounded in length.
	view func(in In, facts F, now time.Time) any
	// ruled says whether the rules have an answer to an input; nil: to all.
	ruled func(in In) bool
	// rules answer from the same facts without a model.
	rules func(in In, facts F, now time.Time) Out
	// tags name the records that the view is made from.
	tags func(in In, facts F) []string
	// polish mends a model's answer: what the records say isn't left to a model. nil: there is nothing to mend.
	polish func(out *Out, in In, facts F, now time.Time)
	// save keeps more of the answer than the insight, in the transaction that finishes the job; nil: nothing.
	save func(ctx context.Context, tx pgx.Tx, t *Task, saved store.Insight) ([]events.Fact, error)
	// changes are the tags of what is cached and shows what save keeps.
	changes []string
}

func (k inquiry[In, F, Out]) spec() Spec {
	properties := inquiryOptionsSchema
	if k.properties != "" {
		properties = k.properties + "," + properties
	}
	fails := modelCodes[:len(modelCodes):len(modelCodes)]
	if k.required != "" {
		fails = append(fails, codeOfNothing)
	}
	if k.refuse != nil {
		fails = append(fails, codeOfState)
	}
	return Spec{
		Queue: AI, Timeout: aiTimeout, MaxAttempts: 4, Backoff: aiBackoff, Scope: "jobs", Changes: k.changes,
		Summary: k.summary, OutputSchema: answerSchema(k.document), Fails: fails,
		Notes: "By rules: " + k.rulesSay + " An answer is kept for 12 hours at most, and until " + k.madeFrom + " changes; where days count, a day later is another question.",
		Check: func(input json.RawMessage) []Fault {
			var in In
			if faults := strict(input, &in); faults != nil {
				return faults
			}
			return in.faults()
		},
		InputSchema: json.RawMessage(`{"type":"object","required":[` + k.required + `],"additionalProperties":false,"properties":{` +
			properties + `}}`),
	}
}

// run asks what the input says, and keeps the answer.
func (k inquiry[In, F, Out]) run(ctx context.Context, w asker, t *Task) (Result, error) {
	var in In
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	about, pointer := in.subject(t.OrganizationID)
	now := time.Now()
	facts, err := k.read(ctx, w.deps.DB, t.OrganizationID, in, now)
	if errors.Is(err, store.ErrNotFound) && pointer != "" {
		return Result{}, &Failure{Code: codeNotFound, Title: "Not found", Pointer: pointer,
			Detail: "There is no " + about.Type + " with this id."}
	}
	if err != nil {
		return Result{}, err
	}
	if k.refuse != nil {
		if refusal := k.refuse(facts); refusal != nil {
			return Result{}, refusal
		}
	}
	q, err := k.question(in, facts, now)
	if err != nil {
		return Result{}, err
	}
	answer, err := w.ask(ctx, t, q)
	if err != nil {
		return Result{}, err
	}
	result, err := answered(t, answer)
	insight := store.Insight{
		OrganizationID: t.OrganizationID, ID: outbox.NewID(), Kind: t.Kind, SubjectType: about.Type, SubjectID: about.ID,
		JobID: t.ID, Output: answer.JSON, Provider: cmp.Or(answer.foundBy, answer.Provider), Model: answer.Model, Template: k.template.name, FactsAt: now,
	}
	result.Change = func(ctx context.Context, tx pgx.Tx) ([]events.Fact, error) { return k.keep(ctx, tx, t, insight) }
	return result, err
}

func (k inquiry[In, F, Out]) question(in In, facts F, now time.Time) (question, error) {
	messages, err := k.template.messages(k.view(in, facts, now))
	if err != nil {
		return question{}, err
	}
	o := in.options()
	return question{
		prompt: inference.Prompt{
			Messages: messages, Model: o.Model, Mode: inference.Mode(o.Mode), Schema: k.template.schema,
		},
		template: k.template.name, noStore: o.Cache == noStore, keep: keepBusiness, tags: k.tags(in, facts),
		rules:  func() (any, bool) { return k.byRules(in, facts, now) },
		polish: func(doc json.RawMessage) (json.RawMessage, error) { return k.polished(doc, in, facts, now) },
	}, nil
}

// byRules is the rules' answer, where they have one.
func (k inquiry[In, F, Out]) byRules(in In, facts F, now time.Time) (out Out, ok bool) {
	if k.ruled != nil && !k.ruled(in) {
		return out, false
	}
	return k.rules(in, facts, now), true
}

// polished is a model's document as clients get it.
func (k inquiry[In, F, Out]) polished(doc json.RawMessage, in In, facts F, now time.Time) (json.RawMessage, error) {
	if k.polish == nil {
		return doc, nil
	}
	var out Out
	if err := json.Unmarshal(doc, &out); err != nil {
		return nil, err
	}
	k.polish(&out, in, facts, now)
	return json.Marshal(out)
}

// keep puts the answer where the records are. One from older facts than those of the answer that is there, one of
// the rules beside a model's of the same day, or one about something that is gone by now, is the job's output and
// nothing more. What was known already is no news.
func (k inquiry[In, F, Out]) keep(ctx context.Context, tx pgx.Tx, t *Task, n store.Insight) ([]events.Fact, error) {
	saved, err := store.SaveInsight(ctx, tx, n)
	if errors.Is(err, store.ErrConflict) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var facts []events.Fact
	if saved.JobID == t.ID {
		facts = append(facts, events.InsightUpdated{
			InsightID: saved.ID, Kind: saved.Kind, SubjectType: saved.SubjectType, SubjectID: saved.SubjectID, JobID: t.ID,
			Provider: saved.Provider, Model: saved.Model, Version: saved.Version,
		})
	}
	if k.save == nil {
		return facts, nil
	}
	more, err := k.save(ctx, tx, t, saved)
	return append(facts, more...), err
}

func idFaults(pointer, id string) []Fault {
	if id == "" {
		return []Fault{{Pointer: pointer, Detail: "is required"}}
	}
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return []Fault{{Pointer: pointer, Detail: "must be a UUID"}}
	}
	return nil
}
