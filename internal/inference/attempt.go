package inference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// attempt makes one call, if the provider may be called now, and records it.
func (r *run) attempt(ctx context.Context, t turn, c call) (reply, *failure) {
	a := Attempt{ID: newID(), Provider: t.provider, Model: c.model, StartedAt: time.Now(),
		Named: t.provider == Ollama && r.named}
	ctx, step := trace.Start(ctx, trace.Client, "chat", t.provider)
	defer step.End() // also where the sink panics
	var rep reply
	pass, f := admit(r.chain.board.get(t.provider, c.model))
	if f == nil {
		rep, f = r.admitted(ctx, t, c, &a, pass)
	}
	if f != nil && f.class == Misconfigured {
		r.chain.board.absent(t.provider, c.model)
	}
	r.record(&a, rep, f)
	if step.Traced() {
		a.describe(step, r.reason)
	}
	return rep, f
}

func (r *run) admitted(ctx context.Context, t turn, c call, a *Attempt, pass permit) (rep reply, f *failure) {
	f = &failure{class: Cancelled} // stands if the sink panics
	defer func() { pass.settle(proven(f), rep.limit) }()
	return r.enter(ctx, t, c, a)
}

// admit asks the breaker, and heeds a rate limit that is known.
func admit(b *breaker) (permit, *failure) {
	if left := b.pause(); left > 0 {
		return permit{}, &failure{class: Overloaded, retryAfter: left,
			detail: "is rate limited for another " + rounded(left)}
	}
	pass, left, ok := b.admit()
	if !ok {
		return permit{}, &failure{class: BreakerOpen, retryAfter: left,
			detail: fmt.Sprintf("is left alone for a while after repeated failures (%s)", b.lastClass())}
	}
	return pass, nil
}

// proven drops a failure that only a provider which works can cause.
func proven(f *failure) *failure {
	if f != nil && (f.class == SchemaInvalid || f.class == Length) {
		return nil
	}
	return f
}

// enter makes the call inside the gate, or on reserved money.
func (r *run) enter(ctx context.Context, t turn, c call, a *Attempt) (reply, *failure) {
	if t.provider == Groq {
		return r.paying(ctx, t, c, a)
	}
	if r.chain.cfg.Gate == nil {
		return r.call(ctx, t, c, a)
	}
	if f := r.crowded(ctx, t, c); f != nil {
		return reply{}, f
	}
	release, err := r.chain.cfg.Gate.Acquire(ctx)
	a.Queue = time.Since(a.StartedAt)
	if err != nil {
		if f := ended(ctx, QueueFull, "has no place free: others are being answered"); f != nil {
			return reply{}, f
		}
		r.chain.cfg.Log.Warn("gate not passed", "provider", t.provider, "model", c.model, "err", err)
		return reply{}, &failure{class: QueueFull, detail: "has no place free: the gate before it can't be asked"}
	}
	defer release()
	return r.call(ctx, t, c, a)
}

// crowded says whether so many are ahead at the gate that a call which somebody else can answer in time
// would miss its first token, or its end. Where nobody knows how long calls take it may try.
func (r *run) crowded(ctx context.Context, t turn, c call) *failure {
	each, known := r.chain.pace.of(everyModel)
	if t.silence == 0 || !known {
		return nil
	}
	ahead, slots, err := r.chain.cfg.Gate.Load(ctx)
	if err != nil {
		return nil // Acquire will tell
	}
	left := time.Until(t.until)
	if own, known := r.chain.pace.of(c.model); known {
		left = min(left, t.whole-own)
	}
	pause := queueTime(ahead, slots, each)
	if pause == 0 || pause <= left {
		return nil
	}
	return &failure{class: QueueFull,
		detail: fmt.Sprintf("has %d calls ahead of this one, which take about %s", ahead, rounded(pause))}
}

// call makes the call and judges what came of it.
func (r *run) call(ctx context.Context, t turn, c call, a *Attempt) (reply, *failure) {
	if f := ended(ctx, Timeout, "was not asked in time"); f != nil {
		return reply{}, f
	}
	if r.text {
		r.sink.Reset(t.provider, r.reason)
		r.text = false
	}
	r.sink.Provider(t.provider, c.model, r.reason)
	if r.prompt.Begun != nil {
		r.prompt.Begun(*a, r.reason)
	}
	begun := time.Now()
	rep, f := t.backend.chat(ctx, c, func(text string) {
		if a.FirstToken == 0 {
			a.FirstToken = max(time.Since(begun), 1)
			t.spoke()
		}
		if text != "" {
			r.text = true
			r.sink.Token(text)
		}
	})
	a.Run = max(0, time.Since(begun)-rep.queue)
	a.Queue += rep.queue
	spoke := a.FirstToken > 0
	if spoke {
		a.FirstToken = max(1, a.FirstToken-rep.queue)
	}
	f = r.judge(ctx, t, c, rep, f, spoke)
	if t.provider == Ollama {
		r.measure(c.model, a.Run-rep.load, f, spoke)
	}
	if f == nil && r.schema != nil {
		f = r.parse(t, &rep)
	}
	return rep, f
}

// measure lets the length of a call count for what the queue is expected to take.
func (r *run) measure(model string, ran time.Duration, f *failure, spoke bool) {
	switch {
	case f == nil || f.class == Length:
		r.chain.pace.took(model, max(0, ran))
	case f.class == Timeout && f.ended == nil && spoke:
		r.chain.pace.atLeast(model, ran)
	}
}

// judge decides whether a reply is an answer. The providers' clients return no
// failure for streams that were cut, and for contexts that ended.
func (r *run) judge(ctx context.Context, t turn, c call, rep reply, f *failure, spoke bool) *failure {
	complete := f == nil && rep.done
	if over := ended(ctx, Timeout, r.late(t, spoke)); over != nil && (over.ended != nil || !complete) {
		over.status = rep.status
		if t.provider == Ollama && !complete {
			r.chain.board.tend(c.model)
		}
		return over
	}
	switch {
	case f != nil:
		return f
	case !rep.done:
		if t.provider == Ollama {
			r.chain.board.tend(c.model)
		}
		return truncated(rep.status)
	case rep.reason == "stop":
		return nil
	case rep.reason == "length" && r.asked(rep):
		return nil
	case rep.reason == "length":
		return &failure{class: Length, status: rep.status, detail: "was cut by the limit on tokens"}
	}
	return &failure{class: Truncated, status: rep.status, detail: "ended its answer for another reason than its end"}
}

// asked says whether an answer that was cut is what the client asked for. One
// that is shorter than the limit was cut by the model's window.
func (r *run) asked(rep reply) bool {
	return r.prompt.MaxTokens > 0 && r.schema == nil && rep.text != "" && rep.completion >= r.prompt.MaxTokens
}

func (r *run) late(t turn, spoke bool) string {
	if !spoke && t.silence > 0 {
		return "sent no token within " + rounded(t.silence)
	}
	return "gave no whole answer within " + rounded(t.whole)
}

// ended is the failure of a context that has ended, nil while it lives. The end
// of a provider's own time is of class; the end of the caller's context is the
// end of the run.
func ended(ctx context.Context, class, detail string) *failure {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	switch {
	case cause == errSilent || cause == errSlow:
		return &failure{class: class, detail: detail}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{class: Timeout, ended: err, detail: "had not answered at the caller's deadline"}
	}
	return &failure{class: Cancelled, ended: err, detail: "was told to stop by the caller"}
}

// parse turns the text into the document that was asked for.
func (r *run) parse(t turn, rep *reply) *failure {
	doc, changed, why := r.schema.read(rep.text)
	if why != nil {
		return &failure{class: SchemaInvalid, status: rep.status, detail: breach(why), why: why.Error()}
	}
	if changed {
		rep.text, rep.mended = string(doc), true
		r.sink.Reset(t.provider, "repaired")
		r.sink.Token(rep.text)
	}
	rep.doc = doc
	return nil
}

// record adds an attempt to the run's list.
func (r *run) record(a *Attempt, rep reply, f *failure) {
	a.PromptTokens, a.CompletionTokens, a.Status, a.Outcome = rep.prompt, rep.completion, rep.status, OK
	if rep.reason == "length" {
		a.Outcome = Length
	}
	if f != nil {
		a.Outcome, a.Detail = f.class, f.detail
		a.Status = max(a.Status, f.status)
		r.report(a, f)
	} else {
		a.Mended = rep.mended
		a.ShadowNanoUSD = r.shadow.nanoUSD(rep.prompt, rep.completion)
		if a.Provider == Groq {
			a.ShadowNanoUSD = a.CostNanoUSD
		}
	}
	r.attempts = append(r.attempts, *a)
}

// report logs what the owner has to mend; the rest is in the attempt.
func (r *run) report(a *Attempt, f *failure) {
	mend := a.Outcome == Auth || a.Outcome == Misconfigured && (!r.named || f.owners)
	if mend && !r.chain.told.again(a.Provider+" "+a.Model+" "+a.Outcome) {
		r.chain.cfg.Log.Error("provider needs the owner", "provider", a.Provider, "model", a.Model,
			"class", a.Outcome, "status", a.Status, "detail", a.Detail)
	}
}

// newID names an attempt. Randomness never fails; it ends the process instead.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// rounded is a span for a sentence.
func rounded(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
