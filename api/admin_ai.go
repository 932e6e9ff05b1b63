package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// accountsAtOnce is how many organizations the overview of models lists: those nearest to the end of their budgets.
const accountsAtOnce = 100

type adminAIInput struct {
	OrganizationID string `query:"organization" doc:"Lists the money of this one alone"`
}

type adminAIOutput struct{ Body operator.AIOverview }

// adminAI tells the operator how models do, over all organizations.
func (s *Server) adminAI(ctx context.Context, in *adminAIInput) (*adminAIOutput, error) {
	only, err := optionalID("organization", in.OrganizationID)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	var workers []store.WorkerProcess
	var lately store.AILately
	var accounts []store.AIOrganization
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		if workers, err = store.WorkersIn(ctx, tx); err != nil {
			return err
		}
		if lately, err = store.AILatelyOf(ctx, tx, now); err != nil {
			return err
		}
		accounts, err = store.AIOrganizations(ctx, tx, now, only, accountsAtOnce)
		return err
	})
	if err != nil {
		return nil, err
	}
	v := operator.AIOverview{Models: aiModelsOf(workers), Calls: []operator.AICallCount{}, Fallbacks: []operator.AIFallback{},
		Paces: []operator.AIPace{}, Accounts: []operator.AIAccount{}, Missing: []operator.MissingFigure{}, Caveats: caveats,
		Cacheable: lately.Cacheable, Cached: lately.Cached, HitRate: ratio(lately.Cached, lately.Cacheable),
		Looked: lately.Looked, Bounded: lately.Looked >= store.MostCallsLooked, At: now}
	addLately(&v, lately)
	addAccounts(&v, accounts)
	missing := func(there bool, figure, reason string) {
		if !there {
			v.Missing = append(v.Missing, operator.MissingFigure{Figure: figure, Reason: reason})
		}
	}
	missing(len(v.Models) > 0, "models", "no living worker has said anything of its models; does one work the queue ai?")
	missing(len(v.Paces) > 0, "paces", "no model answered in the last day")
	missing(v.HitRate != nil, "cache_hit_rate", "no answer was looked for in the cache in the last day")
	return &adminAIOutput{v}, nil
}

func addLately(v *operator.AIOverview, l store.AILately) {
	for _, g := range l.Groups {
		v.Calls = append(v.Calls, operator.AICallCount(g))
	}
	for _, r := range l.Reasons {
		v.Fallbacks = append(v.Fallbacks, operator.AIFallback(r))
	}
	for _, p := range l.Paces {
		one := operator.AIPace{Provider: p.Provider, Model: p.Model, Answers: p.Answers, P50: p.Latency[0], P95: p.Latency[1]}
		if len(p.FirstToken) == 2 {
			one.FirstTokenP50, one.FirstTokenP95 = &p.FirstToken[0], &p.FirstToken[1]
		}
		v.Paces = append(v.Paces, one)
	}
}

func addAccounts(v *operator.AIOverview, list []store.AIOrganization) {
	for i, o := range list {
		if i == 0 {
			v.Money = operator.AIMoney{Organizations: o.All, Spent: paise(o.AllCostNano), Shadow: paise(o.AllShadowNano),
				Saved: paise(o.AllShadowNano - o.AllCostNano)}
		}
		a := operator.AIAccount{OrganizationID: o.ID, Organization: o.Name, Month: o.Month.Format("2006-01"), Budget: o.Budget,
			Spent: paise(o.SpentNano), Reserved: paise(o.ReservedNano), Saved: paise(o.ShadowNano - o.CostNano), Answers: o.Answers}
		if o.Budget != nil && *o.Budget > 0 {
			a.Used = ratio((o.SpentNano+o.ReservedNano)/store.NanoPerPaisa, *o.Budget)
		} else if o.Budget != nil {
			all := 1.0
			a.Used = &all
		}
		v.Accounts = append(v.Accounts, a)
	}
}

// trouble orders the states of models: what is worst of any worker is what is shown first.
var trouble = map[string]int{"open": 5, "half_open": 4, "limited": 3, "closed": 2, "disabled": 1, "unconfigured": 0}

// aiModelsOf gathers what workers know by model.
func aiModelsOf(workers []store.WorkerProcess) []operator.AIModel {
	at := make(map[[2]string]int)
	models := []operator.AIModel{}
	for _, w := range workers {
		for _, p := range w.Providers {
			if p.Provider == store.MailServer {
				continue
			}
			key := [2]string{p.Provider, p.Model}
			i, known := at[key]
			if !known {
				i, at[key] = len(models), len(models)
				models = append(models, operator.AIModel{Provider: p.Provider, Model: p.Model, State: p.State})
			}
			m := &models[i]
			if trouble[p.State] > trouble[m.State] {
				m.State = p.State
			}
			m.Workers = append(m.Workers, operator.AIModelWorker{Worker: w.ID, Host: w.Host, State: p.State, LastClass: unlessBlank(p.LastClass),
				LastFailureAt: utc(p.LastFailure), NextProbeAt: utc(p.NextProbe), HeartbeatAt: w.HeartbeatAt.UTC()})
		}
	}
	slices.SortStableFunc(models, func(a, b operator.AIModel) int {
		return cmp.Or(cmp.Compare(attention(b.State), attention(a.State)), -cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return models
}

// attention is how far in front a model is to stand: those in use come after those in trouble, and before the rest.
func attention(state string) int {
	if state == "closed" {
		return 2
	}
	return trouble[state]
}

type aiSeriesInput struct {
	Step string `query:"step" enum:"minute,hour" default:"minute" doc:"minute: the last hour; hour: the last days"`
	Days int    `query:"days" minimum:"1" maximum:"14" default:"2" doc:"How far the hours go back"`
}

type aiSeriesOutput struct{ Body operator.AISeries }

// aiSeries is what models did over time.
func (s *Server) aiSeries(ctx context.Context, in *aiSeriesInput) (*aiSeriesOutput, error) {
	now := time.Now().UTC()
	var points []store.AIPoint
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		if in.Step == "hour" {
			points, err = store.AIHours(ctx, tx, now.AddDate(0, 0, -in.Days), now)
		} else {
			points, err = store.AIMinutes(ctx, tx, now)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v := operator.AISeries{Step: in.Step, Points: make([]operator.AIPoint, len(points)), At: now}
	for i, p := range points {
		v.Points[i] = operator.AIPoint{At: p.At.UTC(), Ollama: p.Ollama, Groq: p.Groq, Cache: p.Cache, Rules: p.Rules,
			Failures: p.Failures, LatencyMS: p.LatencyMS, Saved: paise(p.SavedNano)}
	}
	return &aiSeriesOutput{v}, nil
}

type aiCallsInput struct {
	PageQuery
	Provider       string    `query:"provider" maxLength:"250"`
	Model          string    `query:"model" maxLength:"250"`
	Outcome        string    `query:"outcome" maxLength:"250"`
	OrganizationID string    `query:"organization"`
	JobID          string    `query:"job"`
	StartedAfter   time.Time `query:"started_after" doc:"RFC 3339; from this moment on"`
	StartedBefore  time.Time `query:"started_before" doc:"RFC 3339; before this moment"`
}

type aiCallsOutput struct{ Body operator.AICallList }

// aiCalls lists attempts at models over all organizations, those that began last first. No prompts are kept with them.
func (s *Server) aiCalls(ctx context.Context, in *aiCallsInput) (*aiCallsOutput, error) {
	f := store.AICallFilter{Provider: in.Provider, Model: in.Model, Outcome: in.Outcome,
		StartedAfter: in.StartedAfter, StartedBefore: in.StartedBefore, Limit: in.Limit + 1}
	var err error
	if f.OrganizationID, err = optionalID("organization", in.OrganizationID); err != nil {
		return nil, err
	}
	if f.JobID, err = optionalID("job", in.JobID); err != nil {
		return nil, err
	}
	filters := []string{"admin-ai-calls", f.Provider, f.Model, f.Outcome, f.OrganizationID, f.JobID,
		filterTime(f.StartedAfter), filterTime(f.StartedBefore)}
	if f.Before, err = parseCursor(in.Cursor, filters...); err != nil {
		return nil, err
	}
	var rows []store.ListedAICall
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AICalls(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	views := make([]operator.AICall, len(rows))
	for i, c := range rows {
		views[i] = operator.AICall{ID: c.ID, OrganizationID: c.OrganizationID, Organization: c.Organization, JobID: c.JobID, Attempt: c.Attempt,
			Kind: c.Kind, Provider: c.Provider, Model: c.Model, Outcome: c.Outcome, Status: c.Status, Detail: c.Detail,
			FallbackReason: c.FallbackReason, Cached: c.Cached, QueueMS: c.QueueMS, FirstTokenMS: c.FirstTokenMS, RunMS: c.RunMS,
			PromptTokens: c.PromptTokens, CompletionTokens: c.CompletionTokens, CostNano: c.CostNano,
			SavedNano: c.ShadowNano - c.CostNano, StartedAt: c.StartedAt.UTC()}
	}
	p := pageOf(views, in.Limit, func(c operator.AICall) string { return c.ID }, filters...)
	return &aiCallsOutput{operator.AICallList(p)}, nil
}

// optionalID reads an id of a query that may be left out.
func optionalID(name, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	id, ok := canonicalID(text)
	if !ok {
		return "", invalid(Fault{"/query/" + name, "must be a UUID"})
	}
	return id, nil
}
