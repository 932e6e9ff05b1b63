package inference

import "github.com/payaid/payaid/internal/telemetry/trace"

// describe says of a call what the attempt knows, by the names of OpenTelemetry's conventions for generative AI. reason
// is the class of the failure that made it necessary, "" for the first. A model that a client made up may be called
// anything, so its name is told only once it has answered.
func (a Attempt) describe(step trace.Span, reason string) {
	step.String("gen_ai.operation.name", "chat")
	step.String("gen_ai.provider.name", a.Provider)
	answered := a.Outcome == OK || a.Outcome == Length
	if !a.Named || answered {
		step.Name("chat", a.Model)
		step.String("gen_ai.request.model", a.Model)
	}
	step.Int("gen_ai.usage.input_tokens", a.PromptTokens)
	step.Int("gen_ai.usage.output_tokens", a.CompletionTokens)
	if a.Status != 0 {
		step.Int("http.response.status_code", a.Status)
	}
	step.String("payaid.ai.call_id", a.ID)
	step.String("payaid.ai.outcome", a.Outcome)
	step.String("payaid.ai.fallback_reason", reason)
	step.Int("payaid.ai.queue_ms", int(a.Queue.Milliseconds()))
	step.Int("payaid.ai.first_token_ms", int(a.FirstToken.Milliseconds()))
	if !answered {
		step.Fail(a.Outcome)
	}
}
