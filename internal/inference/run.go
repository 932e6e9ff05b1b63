package inference

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// ollamaShare is Ollama's part of an interactive budget, silence the part of
	// that share after which a model without a first token is left.
	ollamaShare = 0.6
	silence     = 0.4

	// leastRest is what Groq has for its first token in any case.
	leastRest = time.Second
	// answerTime is what must be left for the answer after a pause.
	answerTime = 500 * time.Millisecond
)

var (
	errSilent = errors.New("no first token in time")
	errSlow   = errors.New("no whole answer in time")
)

// run is one prompt on its way through the providers.
type run struct {
	chain         *Chain
	prompt        Prompt
	sink          Sink
	schema        *schema // nil: free text
	local, remote string  // the models at Ollama and Groq
	named         bool    // the client named a model that the owner did not configure
	shadow        Price
	budget        time.Duration
	started       time.Time
	maxTokens     int

	attempts []Attempt
	blames   map[string]*failure // the last failure of each provider
	reason   string              // the class of the last failure
	first    string              // the class of the failure that ended the first choice
	text     bool                // the sink has heard text of an attempt that is over
	hasty    bool                // Ollama was not given all the time it may need
	reasked  bool
	doubled  bool
	partial  string
}

// turn is a provider's time to answer.
type turn struct {
	provider string
	backend  backend
	model    string
	silence  time.Duration // until the first token; 0 is no limit of its own
	whole    time.Duration
	last     bool // nobody else can answer
	until    time.Time
	spoke    func() // is called at the first token
}

// answer gives each provider its turn.
func (r *run) answer(ctx context.Context) (Answer, error) {
	r.blames = map[string]*failure{}
	for _, pick := range []func() (turn, bool){r.ollamaTurn, r.groqTurn, r.patientTurn} {
		t, ok := pick()
		if !ok {
			continue
		}
		rep, f := r.ask(ctx, t)
		if f == nil {
			return r.deliver(t, rep), nil
		}
		r.blames[t.provider] = f
		if r.first == "" {
			r.first = f.class
		}
		if f.ended != nil || f.class == Request {
			break
		}
	}
	return Answer{}, r.giveUp()
}

func (r *run) interactive() bool { return r.prompt.Mode != Relaxed }

// allowsGroq says whether Groq may be asked at all.
func (r *run) allowsGroq() bool { return r.chain.groq != nil && !r.prompt.LocalOnly }

func (r *run) share() time.Duration { return time.Duration(float64(r.budget) * ollamaShare) }

func (r *run) ollamaTurn() (turn, bool) {
	if r.chain.ollama == nil {
		return turn{}, false
	}
	t := turn{provider: Ollama, backend: r.chain.ollama, model: r.local, whole: r.chain.cfg.Patience}
	rest := r.chain.cfg.GroqTimeout
	if r.interactive() {
		rest = r.budget - r.share()
	}
	t.last = !r.allowsGroq() || r.broke() || !r.chain.board.get(Groq, r.remote).usable(rest-answerTime)
	if r.interactive() && !t.last {
		r.hasty = true
		t.whole = r.share()
		t.silence = time.Duration(float64(t.whole) * silence)
	}
	return t, true
}

func (r *run) groqTurn() (turn, bool) {
	if !r.allowsGroq() {
		return turn{}, false
	}
	t := turn{provider: Groq, backend: r.chain.groq, model: r.remote, whole: r.chain.cfg.GroqTimeout, last: true}
	if r.interactive() {
		t.silence = max(leastRest, r.budget-time.Since(r.started))
	}
	return t, true
}

// patientTurn goes back to an Ollama that was left for being slow.
func (r *run) patientTurn() (turn, bool) {
	f := r.blames[Ollama]
	if !r.hasty || f == nil || f.class != Timeout && f.class != QueueFull {
		return turn{}, false
	}
	return turn{provider: Ollama, backend: r.chain.ollama, model: r.local, whole: r.chain.cfg.Patience, last: true}, true
}

// ask makes attempts at one provider until it has answered, or nothing speaks
// for one more.
func (r *run) ask(parent context.Context, t turn) (reply, *failure) {
	slow, cancelSlow := context.WithTimeoutCause(parent, t.whole, errSlow)
	defer cancelSlow()
	ctx, cancel := context.WithCancelCause(slow)
	defer cancel(nil)
	t.until, t.spoke = time.Now().Add(t.whole), func() {}
	if t.silence > 0 && t.silence < t.whole {
		t.until = time.Now().Add(t.silence)
		timer := time.AfterFunc(t.silence, func() { cancel(errSilent) })
		defer timer.Stop()
		t.spoke = func() { timer.Stop() }
	}
	c := r.asking(t.model)
	var l leniency
	for {
		rep, f := r.attempt(ctx, t, c)
		if f == nil {
			return rep, nil
		}
		r.reason = f.class
		if rep.text != "" && (f.class == SchemaInvalid || f.class == Length) {
			r.partial = rep.text
		}
		if f.ended != nil || !r.again(ctx, t, &c, rep, f, &l) {
			return rep, f
		}
	}
}

// leniency counts what was forgiven in one turn.
type leniency struct {
	adapted, waited int
	retried         bool
}

// asking is the first call of a model.
func (r *run) asking(model string) call {
	return call{model: model, messages: r.prompt.Messages, maxTokens: r.maxTokens,
		temperature: r.prompt.Temperature, schema: r.schema, localOnly: r.prompt.LocalOnly}
}

// again says whether the same provider gets one more try, and waits and changes
// the call as that try needs it.
func (r *run) again(ctx context.Context, t turn, c *call, rep reply, f *failure, l *leniency) bool {
	switch {
	case f.again && l.adapted < 3:
		l.adapted++
		c.onDemand = c.onDemand || f.status == 498
		c.plainJSON = c.plainJSON || f.plainJSON
		return true
	case f.class == SchemaInvalid && rep.text != "" && !r.reasked:
		r.reasked = true
		c.messages = correction(r.prompt.Messages, rep.text, f)
		return true
	case f.class == Length && r.prompt.MaxTokens == 0 && !r.doubled:
		r.doubled = true
		r.maxTokens *= 2
		c.maxTokens = r.maxTokens
		return t.last && rep.completion >= r.maxTokens/2
	case f.class == Overloaded && t.provider == Groq && f.retryAfter > 0 && l.waited < 3:
		l.waited++
		pause := f.retryAfter + time.Duration(20+rand.IntN(80))*time.Millisecond
		return time.Until(t.until) > pause+answerTime && pauseFor(ctx, pause)
	case !l.retried && (f.once || t.last && worthRepeating(t, f)):
		l.retried = true
		return pauseFor(ctx, time.Duration(200+rand.IntN(300))*time.Millisecond)
	}
	return false
}

// worthRepeating says whether a failure may be gone in half a second.
func worthRepeating(t turn, f *failure) bool {
	switch f.class {
	case Truncated, Server:
		return true
	case Overloaded:
		return t.provider == Groq && f.retryAfter == 0
	}
	return false
}

// correction continues the conversation with what is wrong with the answer.
func correction(messages []Message, answer string, f *failure) []Message {
	longer := append([]Message{}, messages...)
	return append(longer, Message{"assistant", answer}, Message{"user",
		"That answer doesn't satisfy the JSON schema: " + f.why + ". Answer again, with the corrected JSON document and nothing else."})
}

// pauseFor waits, and says whether ctx still lives.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// deliver makes the answer of a reply that was accepted.
func (r *run) deliver(t turn, rep reply) Answer {
	a := Answer{Text: rep.text, JSON: rep.doc, Provider: t.provider, Model: t.model,
		PromptTokens: rep.prompt, CompletionTokens: rep.completion,
		Latency: time.Since(r.started), Attempts: r.attempts}
	if r.chain.ollama != nil && t.provider == Groq {
		a.FallbackReason = r.first
	}
	return a
}
