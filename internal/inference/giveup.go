package inference

import (
	"slices"
	"strings"
	"time"
)

const (
	// soon is when to try again a provider whose breaker is still closed.
	soon = 5 * time.Second
	// maxWait bounds the wait for Groq's limits while Ollama may come back
	// earlier.
	maxWait = time.Minute
)

// giveUp says why there is no answer, and what the caller should do about it.
func (r *run) giveUp() *Error {
	e := r.judgement()
	e.Attempts = r.attempts
	if e.verdict == wait {
		e.RetryAfter, e.Detail = r.retryAfter(), r.absence()
	}
	if r.text && e.verdict != stop {
		r.sink.Reset("", e.Class)
	}
	return e
}

// judgement decides between the three kinds of error.
func (r *run) judgement() *Error {
	for _, name := range []string{Groq, Ollama} {
		f := r.blames[name]
		switch {
		case f == nil:
		case f.ended != nil:
			return &Error{Class: f.class, Provider: name, Detail: "the caller's context ended", cause: f.ended}
		case f.class == Request:
			return &Error{Class: Request, Provider: name, Detail: r.subject(name) + " " + f.detail, verdict: fail}
		}
	}
	for _, class := range []string{SchemaInvalid, Length} {
		if name, f := r.blamed(class); f != nil {
			return &Error{Class: class, Provider: name, Detail: r.sentence(class, f), Partial: r.partial, verdict: fail}
		}
	}
	// Groq's window is the largest there is.
	if f := r.blames[Groq]; f != nil && f.class == TooLarge {
		return &Error{Class: TooLarge, Provider: Groq, Detail: r.sentence(TooLarge, f), verdict: fail}
	}
	return r.absent()
}

// absent is a wait if someone who is away now could answer later.
func (r *run) absent() *Error {
	e := &Error{Class: Misconfigured, verdict: wait}
	final := len(r.blames) > 0
	for _, name := range []string{Ollama, Groq} {
		f := r.blames[name]
		if f == nil {
			continue
		}
		hopeless := f.class == TooLarge || f.class == Unsupported || f.class == Misconfigured && r.named && !f.owners
		if final || !hopeless {
			e.Class, e.Provider = f.class, name
		}
		final = final && hopeless
	}
	if final {
		e.verdict, e.Detail = fail, r.sentence(e.Class, r.blames[e.Provider])
	}
	return e
}

func (r *run) blamed(class string) (string, *failure) {
	for _, name := range []string{Groq, Ollama} {
		if f := r.blames[name]; f != nil && f.class == class {
			return name, f
		}
	}
	return "", nil
}

// sentence tells the client why its prompt fails for good.
func (r *run) sentence(class string, f *failure) string {
	switch class {
	case SchemaInvalid:
		return "the model " + f.detail
	case Length:
		return "the answer was cut by the limit on tokens; allow more with max_tokens, or ask for less"
	case TooLarge:
		return "the prompt is longer than the context window of the model; shorten it"
	case Misconfigured:
		return "there is no model " + r.prompt.Model
	case Unsupported:
		return "the model " + r.local + " can't do what was asked: it " + f.detail
	}
	return f.detail
}

func (r *run) subject(provider string) string {
	if provider == Groq {
		return r.chain.groq.subject()
	}
	return r.chain.ollama.subject()
}

// absence names all who could have answered, and what is the matter with each.
func (r *run) absence() string {
	var parts []string
	switch f := r.blames[Ollama]; {
	case r.chain.ollama == nil:
		parts = append(parts, "Ollama is disabled (OLLAMA_ENABLED)")
	case f != nil:
		parts = append(parts, r.subject(Ollama)+" "+f.detail)
	}
	switch f := r.blames[Groq]; {
	case r.chain.groq == nil:
		parts = append(parts, "no GROQ_API_KEY_FALLBACK is set")
	case r.prompt.LocalOnly:
		parts = append(parts, "the organization allows models in the house only")
	case f != nil:
		parts = append(parts, r.subject(Groq)+" "+f.detail)
	}
	return strings.Join(parts, " and ")
}

// retryAfter is when the first of the providers is worth asking again. What
// Groq said about its limits counts before a guess about Ollama, up to a minute.
func (r *run) retryAfter() time.Duration {
	var spans []time.Duration
	for name, f := range r.blames {
		switch {
		case name == Groq && f.class == Overloaded && f.retryAfter > 0:
			if r.chain.ollama != nil {
				return min(f.retryAfter, maxWait)
			}
			return f.retryAfter
		case f.class == Auth || f.class == Misconfigured || f.class == OutOfBudget:
			spans = append(spans, maxWait)
		default:
			spans = append(spans, r.nextTry(name))
		}
	}
	if len(spans) == 0 {
		return maxWait
	}
	return slices.Min(spans)
}

// nextTry is when a provider's breaker lets a call through again.
func (r *run) nextTry(provider string) time.Duration {
	model := r.local
	if provider == Groq {
		model = r.remote
	}
	if at := r.chain.board.get(provider, model).status().NextProbe; !at.IsZero() {
		return max(time.Second, time.Until(at))
	}
	return soon
}
