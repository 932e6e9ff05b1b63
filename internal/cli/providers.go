package cli

import (
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// providerStates are the states of models as other processes read them.
func providerStates(list []inference.ProviderStatus) []store.ProviderState {
	orNil := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC().Truncate(time.Millisecond)
		return &t
	}
	out := make([]store.ProviderState, len(list))
	for i, s := range list {
		out[i] = store.ProviderState{Provider: s.Provider, Model: s.Model, State: s.State, LastClass: s.LastClass,
			LastFailure: orNil(s.LastFailure), NextProbe: orNil(s.NextProbe)}
	}
	return out
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
