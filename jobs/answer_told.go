package jobs

import (
	"context"
	"log/slog"

	"github.com/payaid/payaid/internal/inference"
)

// noteAsked says which providers were asked, which were passed over, and why: nothing of what was asked and answered.
func noteAsked(ctx context.Context, attempts []inference.Attempt) {
	notes, reason := NotesOf(ctx), ""
	for _, a := range attempts {
		about := []any{"provider", a.Provider, "model", a.Model}
		if reason != "" {
			about = append(about, "instead_for", reason)
		}
		reason = a.Outcome
		switch {
		case a.Outcome == inference.OK || a.Outcome == inference.Length:
			notes.Info("a model answered", append(about, "outcome", a.Outcome, "mended", a.Mended, "queue_ms", a.Queue.Milliseconds(),
				"first_token_ms", a.FirstToken.Milliseconds(), "ms", a.Run.Milliseconds(), "prompt_tokens", a.PromptTokens,
				"completion_tokens", a.CompletionTokens)...)
		case a.Run == 0:
			notes.Warn("a model was passed over", append(about, "class", a.Outcome, "why", a.Detail, "queue_ms", a.Queue.Milliseconds())...)
		default:
			notes.Warn("a model did not answer", append(about, "class", a.Outcome, "why", a.Detail, "status_code", a.Status,
				"queue_ms", a.Queue.Milliseconds(), "ms", a.Run.Milliseconds(), "prompt_tokens", a.PromptTokens,
				"completion_tokens", a.CompletionTokens)...)
		}
	}
}

// noteAnswer says of an answer that came without a model where it came from.
func noteAnswer(ctx context.Context, message string, a Answer, about ...slog.Attr) {
	about = append(about, slog.String("model", a.Model), slog.Int64("ms", a.LatencyMS))
	NotesOf(ctx).LogAttrs(ctx, slog.LevelInfo, message, about...)
}
