package jobs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/payaid/payaid/internal/inference"
)

// chatArgs are River's arguments of ai.chat.
type chatArgs struct{ Request }

// Kind implements river.JobArgs.
func (chatArgs) Kind() string { return "ai.chat" }

// conversation is the input of ai.chat.
type conversation struct {
	Messages []message `json:"messages"`
	promptOptions
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

const maxMessages = 200

var chatSpec = Spec{
	Queue: AI, Timeout: aiTimeout, MaxAttempts: 4, Backoff: aiBackoff, Scope: "jobs",
	Summary:      "Goes on with a conversation, with text or with a document by your schema.",
	Notes:        "There are no rules for it: it waits for a model. An answer to the same words is kept for 24 hours at most.",
	OutputSchema: answerSchema(freeDocument), Fails: modelCodes,
	Check: func(input json.RawMessage) []Fault {
		var in conversation
		if faults := strict(input, &in); faults != nil {
			return faults
		}
		return in.faults()
	},
	InputSchema: json.RawMessage(`{"type":"object","required":["messages"],"additionalProperties":false,"properties":{
		"messages":{"type":"array","minItems":1,"maxItems":200,"items":{"type":"object","required":["role","content"],
			"additionalProperties":false,"properties":{"role":{"enum":["system","user","assistant"]},"content":{"type":"string"}}}},` +
		promptOptionsSchema + `}}`),
}

func (in conversation) faults() []Fault {
	var faults []Fault
	if n := len(in.Messages); n == 0 || n > maxMessages {
		faults = append(faults, Fault{Pointer: "/messages", Detail: fmt.Sprintf("must have 1 to %d messages", maxMessages)})
	}
	size := 0
	for i, m := range in.Messages {
		size += len(m.Content)
		at := fmt.Sprintf("/messages/%d", i)
		switch m.Role {
		case "system", "user", "assistant":
		default:
			faults = append(faults, Fault{Pointer: at + "/role", Detail: "must be one of system, user, assistant"})
		}
		if m.Content == "" {
			faults = append(faults, Fault{Pointer: at + "/content", Detail: "is required"})
		}
	}
	if size > maxPromptBytes {
		faults = append(faults, Fault{Pointer: "/messages", Detail: fmt.Sprintf("must have at most %d bytes in all", maxPromptBytes)})
	}
	return append(faults, in.promptOptions.faults()...)
}

// chat continues a conversation.
type chat struct{ asker }

// Run implements Work.
func (w chat) Run(ctx context.Context, _ chatArgs, t *Task) (Result, error) {
	var in conversation
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	messages := make([]inference.Message, len(in.Messages))
	for i, m := range in.Messages {
		messages[i] = inference.Message{Role: m.Role, Content: m.Content}
	}
	return w.reply(ctx, t, in.question(messages))
}
