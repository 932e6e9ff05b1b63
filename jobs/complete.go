package jobs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/payaid/payaid/internal/inference"
)

// completeArgs are River's arguments of ai.completion.
type completeArgs struct{ Request }

// Kind implements river.JobArgs.
func (completeArgs) Kind() string { return "ai.completion" }

// completion is the input of ai.completion.
type completion struct {
	Prompt string  `json:"prompt"`
	System *string `json:"system"`
	promptOptions
}

var completeSpec = Spec{
	Queue: AI, Timeout: aiTimeout, MaxAttempts: 4, Backoff: aiBackoff, Scope: "jobs",
	Summary:      "Answers one prompt, with text or with a document by your schema.",
	Notes:        "There are no rules for it: it waits for a model. An answer to the same words is kept for 24 hours at most.",
	OutputSchema: answerSchema(freeDocument), Fails: modelCodes,
	Check: func(input json.RawMessage) []Fault {
		var in completion
		if faults := strict(input, &in); faults != nil {
			return faults
		}
		return in.faults()
	},
	InputSchema: json.RawMessage(`{"type":"object","required":["prompt"],"additionalProperties":false,"properties":{
		"prompt":{"type":"string","minLength":1},
		"system":{"type":["string","null"]},` + promptOptionsSchema + `}}`),
}

// freeDocument describes the document of answers to what clients write themselves.
const freeDocument = `{"type":["object","array","string","number","integer","boolean","null"],"description":"what the input's schema asks for; null without one"}`

// promptOptionsSchema describes promptOptions for the API's document.
const promptOptionsSchema = `
		"model":{"type":"string","pattern":"` + inference.ModelPattern + `","description":"fast, large or the name of a model","default":"fast"},
		"mode":{"enum":["interactive","relaxed"],"default":"interactive"},
		"max_tokens":{"type":["integer","null"],"minimum":1,"maximum":32768},
		"temperature":{"type":["number","null"],"minimum":0,"maximum":2},
		"schema":{"type":["object","null"],"description":"JSON schema that the answer must satisfy"},
		"cache":{"const":"no-store","description":"an answer of its own: none that was kept, and none that is kept"}`

func (in completion) faults() []Fault {
	faults := textFaults("/prompt", in.Prompt)
	if in.System != nil && len(*in.System) > maxPromptBytes {
		faults = append(faults, textFaults("/system", *in.System)...)
	}
	return append(faults, in.promptOptions.faults()...)
}

func textFaults(pointer, text string) []Fault {
	switch {
	case text == "":
		return []Fault{{Pointer: pointer, Detail: "is required"}}
	case len(text) > maxPromptBytes:
		return []Fault{{Pointer: pointer, Detail: fmt.Sprintf("must have at most %d bytes", maxPromptBytes)}}
	}
	return nil
}

// complete answers one prompt.
type complete struct{ asker }

// Run implements Work.
func (w complete) Run(ctx context.Context, _ completeArgs, t *Task) (Result, error) {
	var in completion
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	var messages []inference.Message
	if in.System != nil && *in.System != "" {
		messages = append(messages, inference.Message{Role: "system", Content: *in.System})
	}
	messages = append(messages, inference.Message{Role: "user", Content: in.Prompt})
	return w.reply(ctx, t, in.question(messages))
}
