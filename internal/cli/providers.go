package cli

import (
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// providerStates are the states of models as other processes read them.
func providerStates(list []inference.ProviderStatus) []store.ProviderState {
	out := make([]store.ProviderState, len(list))
	for i, s := range list {
		out[i] = store.ProviderState{Provider: s.Provider, Model: s.Model, State: s.State, LastClass: s.LastClass,
			LastFailure: toldTime(s.LastFailure), NextProbe: toldTime(s.NextProbe)}
	}
	return out
}

// mailStates is the state of the mail server as other processes read it; none where none is configured.
func (w workerSetup) mailStates(m jobs.Mailing) []store.ProviderState {
	pool, ok := m.Mailer.(*mail.Pool)
	if !ok {
		return nil
	}
	s := pool.Status()
	return []store.ProviderState{{Provider: store.MailServer, Model: w.mail.server.Host, State: s.State, LastClass: s.LastFault,
		LastFailure: toldTime(s.LastFaultAt), NextProbe: toldTime(s.Until)}}
}

// toldTime is nil for none.
func toldTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// pricing is what the API values answers by.
func (m model) pricing() api.AIPricing {
	p := api.AIPricing{RupeesPerDollar: m.usdINR}
	for _, tier := range []struct {
		name inference.Tier
		at   string
	}{{inference.Fast, m.chain.GroqModels.Fast}, {inference.Large, m.chain.GroqModels.Large}} {
		f := api.FallbackModel{Tier: string(tier.name), Model: tier.at}
		if price, known := m.chain.PriceOf(tier.at); known {
			f.Input, f.Output = &price.In, &price.Out
		}
		p.Fallback = append(p.Fallback, f)
	}
	return p
}
