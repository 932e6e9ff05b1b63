package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/metrics"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
)

// workerParts are what a worker has that can be looked at.
type workerParts struct {
	db, relaxed *store.DB
	stream      *stream.Stream
	cache       *cachetag.Cache
	mailing     jobs.Mailing
	webhooks    jobs.Webhooks
	chain       *inference.Chain
}

func (w workerSetup) sources(p workerParts, table []jobs.Job) *sources {
	s := w.watch.sources()
	s.pool("jobs", p.db)
	s.pool("river", p.relaxed)
	s.cache("worker", p.cache)
	s.limiter("mail", p.mailing.Rate.Limiter)
	s.limiter("webhooks", p.webhooks.Limiter)
	s.breakers(p.chain.Status)
	s.mailServer(p.mailing.Mailer)
	s.disk("backups", w.backups.config.Dir)
	s.database(p.db, table)
	s.stream(p.db, p.stream)
	return s
}

// cache shows how a part of the process uses the cache; nil: it has none.
func (s *sources) cache(part string, c *cachetag.Cache) {
	if c == nil {
		return
	}
	s.look("cache "+part, func(sheet *metrics.Sheet) {
		for entry, reads := range c.Entries() {
			sheet.Set(metrics.CacheReads, float64(reads.Hits), part, entry, "hit")
			sheet.Set(metrics.CacheReads, float64(reads.Misses), part, entry, "miss")
			sheet.Set(metrics.CacheReads, float64(reads.Bypasses), part, entry, "bypass")
		}
		all := c.Stats()
		sheet.Set(metrics.CacheLoads, float64(all.Loads), part)
		sheet.Set(metrics.CacheInvalidations, float64(all.Bumps), part)
		sheet.Set(metrics.CacheOwed, float64(all.Owed), part)
		sheet.Set(metrics.CacheErrors, float64(all.Errors), part)
		sheet.Set(metrics.CacheUp, metrics.One(all.Up), part)
	})
}

// limiter shows what limiters of one purpose decide; none, where there is no limit.
func (s *sources) limiter(name string, list ...*ratelimit.Limiter) {
	list = slices.DeleteFunc(list, func(l *ratelimit.Limiter) bool { return l == nil })
	if len(list) == 0 {
		return
	}
	s.look("ratelimit "+name, func(sheet *metrics.Sheet) {
		var allowed, refused, fallbacks uint64
		shared := true
		for _, l := range list {
			a, r := l.Decisions()
			allowed, refused, fallbacks = allowed+a, refused+r, fallbacks+l.Fallbacks()
			shared = shared && l.State() == ratelimit.Shared
		}
		sheet.Set(metrics.RateDecisions, float64(allowed), name, "allowed")
		sheet.Set(metrics.RateDecisions, float64(refused), name, "refused")
		sheet.Set(metrics.RateFallbacks, float64(fallbacks), name)
		sheet.Set(metrics.RateShared, metrics.One(shared), name)
	})
}

// limitersIn are the limiters of rates, each once.
func limitersIn(rates []api.AIRate) (list []*ratelimit.Limiter) {
	for _, r := range rates {
		if !slices.Contains(list, r.Limiter) {
			list = append(list, r.Limiter)
		}
	}
	return list
}

// breakerStates are from the best to the worst.
var breakerStates = []string{"unconfigured", "disabled", "closed", "limited", "half_open", "open"}

// breakers shows the ways to the models. Clients may name models: those are one, and as ill as the worst of them.
func (s *sources) breakers(status func() []inference.ProviderStatus) {
	s.look("breakers", func(sheet *metrics.Sheet) {
		type way struct{ provider, tier string }
		worst := make(map[way]int)
		for _, one := range status() {
			at := way{one.Provider, s.watch.metrics.Tier(one.Model)}
			worst[at] = max(worst[at], slices.Index(breakerStates, one.State))
		}
		for at, is := range worst {
			for i, state := range breakerStates {
				sheet.Set(metrics.BreakerState, metrics.One(i == is), at.provider, at.tier, state)
			}
		}
	})
}

// mailServer shows the way to the mail server.
func (s *sources) mailServer(m jobs.Mailer) {
	pool, ok := m.(*mail.Pool)
	if !ok {
		return
	}
	s.look("mail server", func(sheet *metrics.Sheet) {
		now := pool.Status()
		for _, state := range []string{"closed", "half_open", "open"} {
			sheet.Set(metrics.MailBreaker, metrics.One(state == now.State), state)
		}
		sheet.Set(metrics.MailConnections, float64(now.Busy), "busy")
		sheet.Set(metrics.MailConnections, float64(now.Idle), "idle")
		sheet.Set(metrics.MailConnections, float64(now.Waiting), "waiting")
	})
}

// disk shows the file system that a folder is on; "": there is none.
func (s *sources) disk(volume, dir string) {
	if dir == "" {
		return
	}
	s.add("disk "+volume, 0, func(_ context.Context, sheet *metrics.Sheet) error {
		at, err := diskOf(dir)
		if err != nil {
			return err
		}
		sheet.Set(metrics.DiskSize, float64(at.Blocks)*float64(at.Bsize), volume)
		sheet.Set(metrics.DiskFree, float64(at.Bavail)*float64(at.Bsize), volume)
		return nil
	})
}

// diskOf looks at the file system that a folder is on, or will be once it is made.
func diskOf(dir string) (at syscall.Statfs_t, err error) {
	for err = syscall.Statfs(dir, &at); errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir); err = syscall.Statfs(dir, &at) {
		dir = filepath.Dir(dir)
	}
	if err != nil {
		return at, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return at, nil
}

// asked counts the questions to models.
type asked struct {
	jobs.Model
	watch *watch
}

func (w *watch) model(m jobs.Model) jobs.Model {
	if w == nil {
		return m
	}
	return asked{m, w}
}

// Answer implements jobs.Model.
func (m asked) Answer(ctx context.Context, p inference.Prompt, s inference.Sink) (inference.Answer, error) {
	began := time.Now()
	answer, err := m.Model.Answer(ctx, p, s)
	attempts, refused := answer.Attempts, (*inference.Error)(nil)
	if errors.As(err, &refused) {
		attempts = refused.Attempts
	}
	q := metrics.Question{FallbackReason: answer.FallbackReason, Took: time.Since(began), Failed: err != nil, Calls: make([]metrics.Call, len(attempts))}
	for i, a := range attempts {
		q.Calls[i] = metrics.Call{Provider: a.Provider, Model: a.Model, Outcome: a.Outcome, Took: a.Queue + a.Run,
			PromptTokens: a.PromptTokens, CompletionTokens: a.CompletionTokens, CostNanoUSD: a.CostNanoUSD, ShadowNanoUSD: a.ShadowNanoUSD}
	}
	m.watch.metrics.Question(q)
	return answer, err
}

// posted counts the mails that are submitted.
type posted struct {
	jobs.Mailer
	watch *watch
}

func (w *watch) mailing(m jobs.Mailing) jobs.Mailing {
	if w != nil && m.Mailer != nil {
		m.Mailer = posted{m.Mailer, w}
	}
	return m
}

// Send implements jobs.Mailer.
func (m posted) Send(ctx context.Context, e mail.Envelope, content []byte, commit func(context.Context) error) (mail.Receipt, error) {
	began := time.Now()
	receipt, err := m.Mailer.Send(ctx, e, content, commit)
	outcome, refused := "accepted", (*mail.Refusal)(nil)
	switch {
	case errors.As(err, &refused):
		outcome = string(refused.Class)
	case err != nil:
		outcome = "other"
	}
	m.watch.metrics.Send(outcome, time.Since(began))
	return receipt, err
}

// delivered counts the attempts at deliveries of webhooks.
type delivered struct {
	jobs.WebhookClient
	watch *watch
}

func (w *watch) delivering(d jobs.Webhooks) jobs.Webhooks {
	if w != nil {
		d.Client, d.Ended = delivered{d.Client, w}, w.metrics.DeliveryEnded
	}
	return d
}

// Send implements jobs.WebhookClient.
func (d delivered) Send(ctx context.Context, r webhook.Request) webhook.Answer {
	answer := d.WebhookClient.Send(ctx, r)
	d.watch.metrics.Delivery(answer.Code, answer.StatusCode != 0, answer.Latency, telemetry.TraceID(trace.TraceParent(ctx, "")))
	return answer
}

// relayed counts what the active relay publishes.
type relayed struct {
	outbox.Log
	watch *watch
}

func (w *watch) log(l outbox.Log) outbox.Log {
	if w == nil {
		return l
	}
	return relayed{l, w}
}

// Tail implements outbox.Log: the active relay looks again and again, also where there is nothing to publish.
func (l relayed) Tail(ctx context.Context) (outbox.Tail, error) {
	last, err := l.Log.Tail(ctx)
	if err == nil {
		l.watch.metrics.Published(0)
	}
	return last, err
}

// Publish implements outbox.Log.
func (l relayed) Publish(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	seq, err := l.Log.Publish(ctx, after, entries)
	switch {
	case err == nil:
		l.watch.metrics.Published(len(entries))
	case errors.Is(err, outbox.ErrFenced):
		l.watch.metrics.Fenced()
	case errors.Is(err, outbox.ErrUncertain):
		l.watch.metrics.Uncertain()
	}
	return seq, err
}
