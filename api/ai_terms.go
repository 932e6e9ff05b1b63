package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// budgetHeader tells who submits AI jobs what is left of the organization's budget.
const budgetHeader = "X-AI-Budget-Remaining"

// budgetHeaderKey is its canonical form.
var budgetHeaderKey = http.CanonicalHeaderKey(budgetHeader)

// isAI reports whether a job asks a model on behalf of its organization.
func (s *Server) isAI(kind string) bool {
	k := s.kinds[kind]
	return k != nil && k.Scope == "jobs" && strings.HasPrefix(kind, "ai.")
}

// aiJobs counts the AI jobs by kind; nil: there are none.
func (s *Server) aiJobs(js []store.Job) (kinds map[string]int) {
	for i := range js {
		if !s.isAI(js[i].Kind) {
			continue
		}
		if kinds == nil {
			kinds = make(map[string]int, 1)
		}
		kinds[js[i].Kind]++
	}
	return kinds
}

// aiTerms are the organization's plan, and whether it has a budget.
func (s *Server) aiTerms(ctx context.Context, organizationID string) (store.AITerms, error) {
	terms, known, epoch := s.terms.get(organizationID, time.Now())
	if known {
		return terms, nil
	}
	terms, err := s.DB.AITerms(ctx, organizationID)
	if errors.Is(err, store.ErrNotFound) {
		terms, err = store.AITerms{}, nil // the operator may have none
	}
	if err == nil {
		s.terms.put(organizationID, terms, epoch, time.Now())
	}
	return terms, err
}

// budgetLeft writes down what is left of a budget, for the answer; "" where there is none. It is read anew: the
// organization spends while it asks.
func (s *Server) budgetLeft(ctx context.Context, organizationID string, terms store.AITerms) (string, error) {
	if !terms.HasBudget {
		return "", nil
	}
	account, err := s.DB.AIAccount(ctx, organizationID, time.Now())
	if err != nil {
		return "", err
	}
	left := account.Left()
	if left == nil {
		return "", nil
	}
	return strconv.FormatInt(*left, 10), nil
}

var budgetHeaderDoc = &huma.Param{
	Description: "Where the jobs ask models and the organization has a monthly_budget: what is left of it this month, in whole paise. " +
		"At 0 a job that needs the fallback provider waits for the model in the house, and waiting.reason says so",
	Schema: &huma.Schema{Type: huma.TypeInteger},
}

const (
	// What another process changes is seen here after this long at most.
	termsTTL  = 2 * time.Second
	termsSize = 10_000
)

// termsCache remembers organizations' terms, so that the common submit asks nothing.
type termsCache struct {
	mu      sync.RWMutex
	entries map[string]termsEntry
	epoch   int // counts the changes
}

type termsEntry struct {
	terms store.AITerms
	until time.Time
}

// get gives what is known of an organization. The epoch goes to put.
func (c *termsCache) get(organizationID string, now time.Time) (terms store.AITerms, known bool, epoch int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[organizationID]
	return e.terms, ok && now.Before(e.until), c.epoch
}

// put remembers terms, unless an organization was changed while they were on their way: it may be this one.
func (c *termsCache) put(organizationID string, terms store.AITerms, epoch int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if c.entries == nil || len(c.entries) >= termsSize {
		c.entries = make(map[string]termsEntry) // they live for seconds only
	}
	c.entries[organizationID] = termsEntry{terms, now.Add(termsTTL)}
}

// changed forgets organizations that facts tell of.
func (c *termsCache) changed(facts []events.Fact) {
	for _, f := range facts {
		if o, ok := f.(events.OrganizationUpdated); ok {
			c.mu.Lock()
			c.epoch++
			delete(c.entries, o.OrganizationID)
			c.mu.Unlock()
		}
	}
}
