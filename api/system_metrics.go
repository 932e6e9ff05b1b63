package api

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// metricsWindow is what figures of the moment are about.
const metricsWindow = time.Hour

// systemMetricsView is how an installation does, over all organizations and processes. What could not be had is
// null, or an empty list, and unmeasured says why; parts that have such a list have their own.
type systemMetricsView struct {
	Scope     string              `json:"scope" enum:"all,process" doc:"What requests, slow queries and jobs of the last hour are about: all processes, or this one alone"`
	Window    int64               `json:"window_seconds" doc:"The last hour in full minutes, and the minute that is not over"`
	Replicas  int                 `json:"replicas_reporting" doc:"Processes of any kind that were heard of in the last seconds"`
	Partial   bool                `json:"partial" doc:"The last hour lacks something; partial_because says what"`
	Because   []string            `json:"partial_because"`
	Database  databaseMetricsView `json:"database"`
	API       apiMetricsView      `json:"api"`
	AI        aiMetricsView       `json:"ai"`
	Queues    []queueMetricsView  `json:"queues" doc:"By name"`
	Events    eventMetricsView    `json:"events"`
	Mail      mailMetricsView     `json:"mail"`
	Webhooks  webhookMetricsView  `json:"webhooks"`
	System    systemView          `json:"system"`
	Processes []processView       `json:"processes" doc:"Those that were heard of in the last seconds, by id"`

	AtLeast     []string     `json:"at_least" doc:"Figures whose counting ended at its bound: there are at least that many"`
	Unmeasured  []unmeasured `json:"unmeasured" doc:"Why figures are null"`
	GeneratedAt time.Time    `json:"generated_at"`
}

// aiMetricsView is how models do, in the last hour unless it says otherwise. What was not measured is null, and
// unmeasured says why.
type aiMetricsView struct {
	Window         string            `json:"window" doc:"What the figures are about, but for savings"`
	AverageLatency *float64          `json:"averageLatency" doc:"Of models' answers, the wait for their turn included, in milliseconds"`
	Latency        latencyView       `json:"latency"`
	CacheHitRate   *float64          `json:"cacheHitRate" doc:"Of the answers that were looked for in the cache, 0 to 1"`
	FailureRate    *float64          `json:"failureRate" doc:"Jobs that failed for want of an answer after all fallbacks, of those and the ones that succeeded, 0 to 1; jobs that failed by a mistake in what they ask (codes not_found, invalid_state, forbidden, request, too_large, misconfigured) and cancelled ones are in neither; of the 2,000 newest at most"`
	Providers      []providerMetrics `json:"providers" doc:"Those that did something, by name; cache and rules among them"`
	States         []workerStates    `json:"states" doc:"What each worker knows of its models"`
	Tokens         tokensView        `json:"tokens"`
	Cost           costView          `json:"cost"`
	SavedINR       nanos             `json:"savedInr" doc:"In rupees, as all money here, where GET /api/ai/usage has paise: what the fallback provider would have taken, less what it took"`
	Savings        savingsView       `json:"savings"`
	Unmeasured     []unmeasured      `json:"unmeasured" doc:"Why figures are null"`
}

type latencyView struct {
	Inference percentiles `json:"inference" doc:"Of models' answers, of the 10,000 newest calls at most"`
	Jobs      percentiles `json:"jobs" doc:"Of jobs, from submit, or the time that they were put off to, until their end; of the 2,000 newest at most"`
}

// percentiles are in milliseconds.
type percentiles struct {
	P50 *int64 `json:"p50"`
	P95 *int64 `json:"p95"`
	P99 *int64 `json:"p99"`
}

type providerMetrics struct {
	Provider       string   `json:"provider" doc:"ollama, groq, cache or rules"`
	Share          *float64 `json:"share" doc:"Of all answers, 0 to 1"`
	Answers        int64    `json:"answers"`
	Attempts       int64    `json:"attempts" doc:"Calls that were made; none of cache and rules"`
	FailureRate    *float64 `json:"failureRate" doc:"Of its attempts"`
	AverageLatency *float64 `json:"averageLatency" doc:"Of its answers, in milliseconds"`
}

type workerStates struct {
	Worker      string          `json:"worker"`
	Host        string          `json:"host"`
	HeartbeatAt time.Time       `json:"heartbeatAt"`
	Providers   []providerState `json:"providers"`
}

type providerState struct {
	Provider      string     `json:"provider"`
	Model         string     `json:"model"`
	State         string     `json:"state" enum:"closed,open,half_open,limited,disabled,unconfigured" doc:"closed: in use; open: not asked until a probe succeeds; half_open: the next call is the trial; limited: by the provider"`
	LastClass     *string    `json:"lastClass" doc:"Of the last failure"`
	LastFailureAt *time.Time `json:"lastFailureAt"`
	NextProbeAt   *time.Time `json:"nextProbeAt"`
}

type tokensView struct {
	Prompt     int64 `json:"prompt"`
	Completion int64 `json:"completion"`
}

// costView is money, to the last digit that is known.
type costView struct {
	INR       nanos `json:"inr" doc:"What the fallback provider takes, in rupees"`
	ShadowINR nanos `json:"shadowInr" doc:"What it would have taken for all answers of models and the cache"`
	USD       nanos `json:"usd" doc:"The same in dollars"`
	ShadowUSD nanos `json:"shadowUsd"`
}

func costViewOf(u store.Usage) costView {
	return costView{INR: nanos(u.CostNanoINR), ShadowINR: nanos(u.ShadowNanoINR),
		USD: nanos(u.CostNanoUSD), ShadowUSD: nanos(u.ShadowNanoUSD)}
}

// savingsView is what the owner's own models saved this month.
type savingsView struct {
	Since     date        `json:"since" doc:"The first of this month, in each organization's calendar"`
	SavedINR  nanos       `json:"savedInr" doc:"shadowInr less costInr"`
	ShadowINR nanos       `json:"shadowInr" doc:"What the fallback provider would have taken for all answers, in rupees; each by the rate and price of its day"`
	CostINR   nanos       `json:"costInr" doc:"What it took"`
	SavedRate *float64    `json:"savedRate" doc:"savedInr of shadowInr, 1 at most; below 0 where more was paid than the answers were worth"`
	USDINR    *float64    `json:"usdInr" doc:"Rupees for a dollar, now"`
	Model     *string     `json:"model" doc:"Of the fallback provider, that answers of the fast tier are measured by"`
	Prices    []priceView `json:"prices"`
	Caveats   []string    `json:"caveats" doc:"What the figures leave out"`
}

type unmeasured struct {
	Figure string `json:"figure"`
	Reason string `json:"reason"`
}

type systemMetricsOutput struct{ Body systemMetricsView }

// systemMetrics tells the operator how the installation does.
func (s *Server) systemMetrics(ctx context.Context, _ *noInput) (*systemMetricsOutput, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	m, err := s.DB.AIMetrics(ctx, now.Add(-metricsWindow), now)
	if err != nil {
		return nil, err
	}
	mail, err := s.DB.MailMetrics(ctx, now.Add(-metricsWindow))
	if err != nil {
		return nil, err
	}
	webhooks, err := s.DB.WebhookMetrics(ctx, now.Add(-metricsWindow))
	if err != nil {
		return nil, err
	}
	f, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	missing := reasons{list: []unmeasured{}}
	v := systemMetricsView{Scope: string(minutes.Alone), Because: f.why(s.Figures.Shared),
		Database: s.databaseMetrics(ctx, f, &missing), API: apiMetrics(f, &missing), AI: aiMetricsViewOf(m, s.Pricing),
		Queues: queueMetrics(f, &missing), Events: s.eventMetrics(f, &missing), Mail: mailMetricsViewOf(mail, m.Workers), Webhooks: webhookMetricsViewOf(f.Webhooks, webhooks),
		System: systemOf(f, &missing), Processes: processesOf(f.processes, &missing), Replicas: len(f.processes), GeneratedAt: now}
	if f.counted {
		v.Scope, v.Window = string(f.hour.Scope), int64(f.hour.Until.Sub(f.hour.From)/time.Second)
	}
	v.Partial, v.Unmeasured, v.AtLeast = len(v.Because) > 0, missing.list, bounded(f, m, mail, webhooks)
	return &systemMetricsOutput{v}, nil
}

func aiMetricsViewOf(m store.AIMetrics, prices AIPricing) aiMetricsView {
	all := store.ProviderUsage{}
	if m.All != nil {
		all = *m.All
	}
	v := aiMetricsView{
		Window: "1h", AverageLatency: ratio(all.LatencyMS, all.ByModels),
		Latency:      latencyView{Inference: percentilesOf(all.Latencies), Jobs: percentilesOf(m.Jobs.Latencies)},
		CacheHitRate: ratio(all.Cached, all.Cacheable), FailureRate: ratio(m.Jobs.Failed, m.Jobs.Failed+m.Jobs.Succeeded),
		Providers: make([]providerMetrics, len(m.Providers)), States: statesOf(m.Workers),
		Tokens: tokensView{all.PromptTokens, all.CompletionTokens}, Cost: costViewOf(all.Usage),
		SavedINR: nanos(all.ShadowNanoINR - all.CostNanoINR), Savings: savingsOf(m, prices), Unmeasured: []unmeasured{},
	}
	var missing reasons
	for i, p := range m.Providers {
		v.Providers[i] = providerMetricsOf(p, all.Answers, &missing)
	}
	missing.unless(v.AverageLatency != nil, "averageLatency", "no model answered in the window")
	missing.unless(v.Latency.Inference.P50 != nil, "latency.inference", "no model answered in the window")
	missing.unless(v.Latency.Jobs.P50 != nil, "latency.jobs", "no job ended in the window")
	missing.unless(v.CacheHitRate != nil, "cacheHitRate", "no answer was looked for in the cache in the window")
	missing.unless(v.FailureRate != nil, "failureRate", "no job succeeded, or failed for want of an answer, in the window")
	missing.unless(len(v.States) > 0, "states", "no worker has said anything of its models")
	missing.unless(v.Savings.SavedRate != nil, "savings.savedRate", "no answer of this month has a price")
	missing.unless(v.Savings.USDINR != nil, "savings.usdInr", "no exchange rate is configured for this process")
	missing.unless(v.Savings.Model != nil, "savings.model", "no price list of a fallback provider is configured for this process")
	v.Unmeasured = append(v.Unmeasured, missing.list...)
	return v
}

func providerMetricsOf(p store.ProviderUsage, answers int64, missing *reasons) providerMetrics {
	v := providerMetrics{Provider: p.Provider, Share: ratio(p.Answers, answers), Answers: p.Answers,
		Attempts: p.Calls, FailureRate: ratio(p.Failures, p.Calls), AverageLatency: ratio(p.LatencyMS, p.ByModels)}
	name := "providers." + p.Provider
	missing.unless(v.Share != nil, name+".share", "nobody answered in the window")
	missing.unless(v.FailureRate != nil, name+".failureRate", "it was not called in the window")
	missing.unless(v.AverageLatency != nil, name+".averageLatency", "no model of it answered in the window")
	return v
}

func percentilesOf(ms []float64) (p percentiles) {
	for i, into := range []**int64{&p.P50, &p.P95, &p.P99} {
		if i < len(ms) {
			rounded := int64(math.Round(ms[i]))
			*into = &rounded
		}
	}
	return p
}

func statesOf(workers []store.WorkerProcess) []workerStates {
	list := []workerStates{}
	for _, w := range workers {
		models := slices.DeleteFunc(slices.Clone(w.Providers), func(p store.ProviderState) bool { return p.Provider == store.MailServer })
		if len(models) == 0 {
			continue
		}
		states := workerStates{Worker: w.ID, Host: w.Host, HeartbeatAt: w.HeartbeatAt.UTC(), Providers: make([]providerState, len(models))}
		for i, p := range models {
			states.Providers[i] = providerState{Provider: p.Provider, Model: p.Model, State: p.State,
				LastFailureAt: p.LastFailure, NextProbeAt: p.NextProbe}
			if p.LastClass != "" {
				states.Providers[i].LastClass = &p.LastClass
			}
		}
		list = append(list, states)
	}
	return list
}

func savingsOf(m store.AIMetrics, prices AIPricing) savingsView {
	saved := m.Month.ShadowNanoINR - m.Month.CostNanoINR
	shown := prices.view()
	v := savingsView{Since: date{m.Since}, SavedINR: nanos(saved), ShadowINR: nanos(m.Month.ShadowNanoINR),
		CostINR: nanos(m.Month.CostNanoINR), SavedRate: ratio(saved, m.Month.ShadowNanoINR), USDINR: shown.USDINR,
		Prices: shown.Models, Caveats: shown.Caveats}
	if len(prices.Fallback) > 0 {
		v.Model = &prices.Fallback[0].Model
	}
	return v
}
