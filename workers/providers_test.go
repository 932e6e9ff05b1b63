package workers

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

// Others read what a worker knows of its models, and see when that changes.
func TestProvidersAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var state atomic.Value
	state.Store("closed")
	s.worker(func(c *Config) {
		c.Providers = func() []store.ProviderState {
			return []store.ProviderState{{Provider: "ollama", Model: "m", State: state.Load().(string)}}
		}
	})
	for _, want := range []string{"closed", "open", "closed"} {
		state.Store(want)
		eventually(t, "the model is said to be "+want, func() error {
			list, err := s.db.Workers(t.Context())
			if err != nil {
				return err
			}
			if len(list) != 1 || len(list[0].Providers) != 1 || list[0].Providers[0].State != want {
				return fmt.Errorf("workers %+v", list)
			}
			return nil
		})
	}
}
