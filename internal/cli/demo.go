package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demoPatience is for a model on a machine without a GPU that has to be loaded first.
const demoPatience = 4 * time.Minute

// demoJob is one of the jobs that the demo runs.
type demoJob struct {
	what  string
	kind  string
	input map[string]any
	more  map[string]any
	// follow reads the answer as it is written, and compares it with the result.
	follow bool
	cancel bool
	check  func(demoAnswer) error
}

type demoAnswer struct {
	Text             string          `json:"text"`
	JSON             json.RawMessage `json:"json"`
	Provider         string          `json:"provider"`
	Model            string          `json:"model"`
	PromptTokens     int             `json:"prompt_tokens"`
	CompletionTokens int             `json:"completion_tokens"`
	LatencyMS        int64           `json:"latency_ms"`
	Cached           bool            `json:"cached"`
	FallbackReason   *string         `json:"fallback_reason"`
}

// demoJobs show a model at work, so none of them is answered from the cache.
func demoJobs() []demoJob {
	return []demoJob{
		{what: "a completion", kind: "ai.completion",
			input: map[string]any{"cache": "no-store", "prompt": "Write one sentence that thanks a customer for paying invoice INV-1042."}},
		{what: "a chat", kind: "ai.chat", input: map[string]any{"cache": "no-store", "messages": []map[string]string{
			{"role": "system", "content": "You help a small business in India."},
			{"role": "user", "content": "A customer wants to know when the order ships. Answer briefly."},
		}}},
		{what: "a streamed answer", kind: "ai.completion", follow: true,
			input: map[string]any{"cache": "no-store", "prompt": "Describe the next step for a lead that asked for a quotation."}},
		{what: "an answer by a JSON schema", kind: "ai.completion",
			input: map[string]any{
				"cache":  "no-store",
				"prompt": "Rate this lead from 0 to 10: a retailer with 40 shops asked about GST billing.",
				"schema": json.RawMessage(`{"type":"object","properties":{"score":{"type":"integer","minimum":0,"maximum":10},` +
					`"stage":{"enum":["hot","warm","cold"]}},"required":["score","stage"],"additionalProperties":false}`)},
			check: func(a demoAnswer) error {
				var lead struct {
					Score *int   `json:"score"`
					Stage string `json:"stage"`
				}
				if err := json.Unmarshal(a.JSON, &lead); err != nil || lead.Score == nil || lead.Stage == "" {
					return fmt.Errorf("the answer is not of the schema: %s", a.JSON)
				}
				return nil
			}},
		{what: "a job that is cancelled", kind: "ai.completion", cancel: true,
			input: map[string]any{"prompt": "This will not be answered."}},
	}
}

// demo goes through the product by its API, with an organization of its own, and prints what became of each
// step. With no model anywhere the AI jobs are to wait and say so; that is no error of theirs.
func (a *app) demo(ctx context.Context, s demoSetup) error {
	organization, err := a.demoOrganization(ctx, s)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	fmt.Fprintf(a.stdout, "Demo: organization %s (%s), key %s\n\n", organization.Name, organization.ID, organization.APIKey.Key)
	api := client{base: s.admin.base, key: organization.APIKey.Key}
	crm, hooks := &demoCRM{api: api}, &demoHooks{api: api, receiver: s.receiver}
	steps := slices.Concat([]demoStep{{"a webhook", hooks.subscribe}}, crm.steps(), []demoStep{{"what the webhook heard", hooks.listen}})
	for _, d := range demoJobs() {
		steps = append(steps, demoStep{d.what, func(ctx context.Context) (string, error) { return a.demoOne(ctx, api, d, s.model) }})
	}
	steps = append(steps, demoStep{"a job that calls back", hooks.callBack}, demoStep{"the webhook, at its end", hooks.end})
	ai := &demoAI{api: api, model: s.model, rules: s.rules}
	steps = append(steps, ai.steps()...)
	failed, err := a.show(ctx, steps)
	if err != nil {
		return err
	}
	if !ai.conclude(ctx, a.stdout) {
		failed = append(failed, "what the answers come to")
	}
	// Afterwards, as reminders ask models too, and would be counted.
	mail := &demoMail{api: api, admin: s.admin, invoice: func() string { return crm.invoice.ID }, sink: s.sink, writes: s.model || s.rules}
	more, err := a.show(ctx, mail.steps())
	if err != nil {
		return err
	}
	failed = append(failed, more...)
	mail.printTable(a.stdout)
	backup := &demoBackup{admin: s.admin}
	if more, err = a.show(ctx, backup.steps()); err != nil {
		return err
	}
	failed = append(failed, more...)
	if len(failed) > 0 {
		return errors.New("the demo did not work: " + strings.Join(failed, ", "))
	}
	if !s.model {
		fmt.Fprintln(a.stdout, "No model can be reached: the AI jobs wait for one, as said above, and run by themselves when it is there.")
		if s.rules {
			fmt.Fprintln(a.stdout, "What is asked about the organization's own records is answered by fixed rules meanwhile.")
		}
		return nil
	}
	fmt.Fprintln(a.stdout, "Demo: all of it worked.")
	return nil
}

// show goes through steps, prints what became of each, and gives those that failed.
func (a *app) show(ctx context.Context, steps []demoStep) (failed []string, err error) {
	for _, step := range steps {
		outcome, err := step.run(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			failed = append(failed, step.what)
			outcome = "FAILED: " + err.Error()
		}
		fmt.Fprintf(a.stdout, "  %-28s %s\n", step.what, outcome)
	}
	fmt.Fprintln(a.stdout)
	return failed, nil
}

func (a *app) demoOne(ctx context.Context, api client, d demoJob, model bool) (string, error) {
	began := time.Now()
	more := d.more
	if d.cancel {
		more = map[string]any{"run_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	}
	j, err := api.submit(ctx, d.kind, d.input, more)
	if err != nil {
		return "", err
	}
	accepted := time.Since(began)
	if d.cancel {
		var cancelled jobView
		if err := api.do(ctx, http.MethodPost, "/api/jobs/"+j.ID+"/cancel", nil, &cancelled); err != nil {
			return "", err
		}
		if cancelled.Status != "cancelled" {
			return "", fmt.Errorf("the job is %s", cancelled.Status)
		}
		return fmt.Sprintf("cancelled   accepted in %s", ms(accepted)), nil
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	heard := make(chan followed, 1)
	if d.follow && model {
		go func() { heard <- api.follow(following, j.ID, demoPatience) }()
	} else {
		heard <- followed{}
	}
	j, err = api.await(ctx, j.ID, demoPatience)
	if err != nil || !j.ended() {
		stop() // a stream goes on for as long as its job waits
	}
	f := <-heard
	if err != nil {
		return "", err
	}
	if !model {
		return waits(j)
	}
	return a.demoEnded(d, j, f, accepted, time.Since(began))
}

func waits(j jobView) (string, error) {
	if j.Waiting == nil {
		return "", fmt.Errorf("no model can be reached, but the job is %s and does not wait", j.Status)
	}
	return "waits: " + j.Waiting.Reason, nil
}

func (a *app) demoEnded(d demoJob, j jobView, f followed, accepted, took time.Duration) (string, error) {
	switch {
	case j.Waiting != nil:
		return "", errors.New("it waits: " + j.Waiting.Reason)
	case j.Error != nil:
		return "", j.Error
	case f.err != nil:
		return "", f.err
	}
	var answer demoAnswer
	if err := json.Unmarshal(j.Output, &answer); err != nil {
		return "", fmt.Errorf("read the result: %w", err)
	}
	if d.check != nil {
		if err := d.check(answer); err != nil {
			return "", err
		}
	}
	out := fmt.Sprintf("%s   accepted in %s, answered in %s by %s", j.Status, ms(accepted), ms(took), answer.by())
	if d.follow {
		if f.text != answer.Text {
			return "", fmt.Errorf("the streamed text is not the result's: %q and %q", f.text, answer.Text)
		}
		out += fmt.Sprintf(", streamed in %d pieces", f.tokens)
	}
	return out, nil
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }
