package jobs_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/jobs"
)

// What an organization forbids while a job waits for Ollama is forbidden by the time that Groq would be asked.
func TestTermsAreThoseOfTheMomentOfFallback(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ settings, reason string }{
		"local only": {`{"ai":{"local_only":true}}`, "Groq is not asked, for the organization allows models in the house only"},
		"no money":   {`{"ai":{"monthly_budget":0}}`, "Groq is not asked, for the organization's budget is ₹0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := working(t)
			fails := make(chan struct{})
			s.ollama.Only("/api/chat").Next(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
				select {
				case <-fails:
				case <-r.Context().Done():
				}
				faults.Reset(w, r, pass)
			})
			id := s.submit("ai.completion", completion)
			s.eventually("Ollama is asked", func() error {
				if asked(s.ollama) == 0 {
					return errors.New("not yet")
				}
				return nil
			})
			s.exec(`UPDATE organizations SET settings = $2, version = version + 1 WHERE id = $1`, s.organization, c.settings)
			close(fails)
			if reason := s.waits(id); !strings.Contains(reason, c.reason) {
				t.Errorf("it waits for %q", reason)
			}
			if n := len(s.groq.Requests()); n != 0 {
				t.Errorf("Groq was asked %d times", n)
			}
			if spent, reserved := s.money(); spent+reserved != 0 {
				t.Errorf("%d spent, %d set aside", spent, reserved)
			}
		})
	}
}

// Where nothing is left of the month's money a job doesn't leave a slow Ollama for a Groq that can't be paid.
func TestASpentBudgetGivesOllamaItsTime(t *testing.T) {
	t.Parallel()
	s := working(t, func(c *inference.Config, _ *jobs.Deps) { c.FastBudget = time.Second })
	s.ollama.Only("/api/chat").Every(slowly(900 * time.Millisecond))
	s.budget(100_00)
	s.exec(`INSERT INTO ai_budgets (organization_id, month, spent_nano_inr)
		VALUES ($1, date_trunc('month', now() AT TIME ZONE 'Asia/Kolkata')::date, 99995000000)`, s.organization)
	id := s.submit("ai.completion", completion)
	s.answer(id)
	if got := strings.Join(s.calls(id), " "); got != "ollama:ok" {
		t.Errorf("asked were %q", got)
	}
}
