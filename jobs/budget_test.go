package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// budget sets the organization's monthly budget as a PATCH of its settings does; negative: none.
func (s *site) budget(paise int64) {
	s.t.Helper()
	value := "null"
	if paise >= 0 {
		value = fmt.Sprint(paise)
	}
	s.exec(`UPDATE organizations SET settings = jsonb_build_object('ai', jsonb_build_object('monthly_budget', $2::jsonb)),
		version = version + 1 WHERE id = $1`, s.organization, value)
}

// money is what the organization has spent and set aside, in all months.
func (s *site) money() (spent, reserved int64) {
	s.t.Helper()
	s.must(s.db.Pool().QueryRow(s.t.Context(), `SELECT coalesce(sum(spent_nano_inr), 0)::bigint,
		coalesce(sum(reserved_nano_inr), 0)::bigint FROM ai_budgets WHERE organization_id = $1`, s.organization).Scan(&spent, &reserved))
	return spent, reserved
}

// paidCalls counts the calls of a model.
func paidCalls(p *faults.Proxy) (n int) {
	for _, r := range p.Requests() {
		if strings.HasSuffix(r.Path, "/chat/completions") {
			n++
		}
	}
	return n
}

// without has Ollama refuse everybody, and answers come within seconds all the same.
func without(c *inference.Config, _ *jobs.Deps) { c.OllamaEnabled = false }

// dear answers as a model that needs all the tokens that it may: no call costs more.
func dear(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	body, _ := io.ReadAll(r.Body)
	var sent struct {
		Most int `json:"max_completion_tokens"`
	}
	_ = json.Unmarshal(body, &sent)
	faults.Status(http.StatusOK, fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":\"paid\"},\"finish_reason\":\"stop\"}]}\n\n"+
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", len(body)+512, sent.Most))(w, r, nil)
}

const completion = `{"prompt":"Write one line to a customer who pays late.","cache":"no-store"}`

// price is what a dear answer to the prompt above costs in paise, rounded up.
func price(t *testing.T) (paise int64, nano int64) {
	t.Helper()
	s := working(t, without)
	s.groq.Every(dear)
	s.budget(100_00)
	s.answer(s.submit("ai.completion", completion))
	nano, reserved := s.money()
	if nano == 0 || reserved != 0 {
		t.Fatalf("%d spent, %d set aside", nano, reserved)
	}
	return (nano + store.NanoPerPaisa - 1) / store.NanoPerPaisa, nano
}

// TestFallbacksKeepToTheBudget has 500 jobs want the fallback at once, with money for 100.
func TestFallbacksKeepToTheBudget(t *testing.T) {
	t.Parallel()
	const all, affordable = 500, 100
	_, one := price(t)
	budget := one * affordable / store.NanoPerPaisa
	if budget*store.NanoPerPaisa+one <= one*affordable {
		budget++
	}
	s := newSite(t, without)
	s.groq.Every(dear)
	s.budget(budget)
	ids := make([]string, all)
	for i := range ids {
		ids[i] = s.submit("ai.completion", completion)
	}
	s.worker(map[string]int{"ai": 50})
	var answered, waiting int
	s.eventually("every job was answered or waits", func() error {
		s.must(s.db.Pool().QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE status = 'succeeded'),
			count(*) FILTER (WHERE waiting_reason IS NOT NULL) FROM jobs`).Scan(&answered, &waiting))
		if answered+waiting < all {
			return fmt.Errorf("%d were answered, %d wait", answered, waiting)
		}
		return nil
	})
	spent, reserved := s.money()
	most := int(budget * store.NanoPerPaisa / one)
	if calls := paidCalls(s.groq); calls != most || answered != most || calls > affordable || calls < affordable-1 {
		t.Errorf("Groq was asked %d times and %d jobs were answered, want %d", calls, answered, most)
	}
	if reserved != 0 || spent > budget*store.NanoPerPaisa || spent != one*int64(answered) {
		t.Errorf("%d spent and %d set aside of %d", spent, reserved, budget*store.NanoPerPaisa)
	}
	var reasons int
	var reason string
	s.scan(&reasons, `SELECT count(DISTINCT waiting_reason) FROM jobs WHERE status <> 'succeeded'`)
	s.scan(&reason, `SELECT max(waiting_reason) FROM jobs WHERE status <> 'succeeded'`)
	if reasons == 0 || !strings.Contains(reason, "organization's budget of ₹") || !strings.Contains(reason, "(until 1 ") {
		t.Errorf("%d reasons, such as %q", reasons, reason)
	}
	// The owner pays more, and what waits goes on.
	s.budget(budget * 3)
	s.exec(`UPDATE river_job SET scheduled_at = now() WHERE state = 'scheduled'`)
	s.eventually("the jobs go on", func() error {
		s.scan(&answered, `SELECT count(*) FROM jobs WHERE status = 'succeeded'`)
		if answered < 2*affordable {
			return fmt.Errorf("%d were answered", answered)
		}
		return nil
	})
}

func TestNoMoneyMeansWaitingForTheModelInTheHouse(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.ollama.Only("/api/chat")
	s.ollama.Every(unreachable)
	s.budget(0)
	id := s.submit("ai.completion", completion)
	if reason := s.waits(id); !strings.Contains(reason, "Groq is not asked, for the organization's budget is ₹0") {
		t.Errorf("it waits for %q", reason)
	}
	s.ollama.Every(nil)
	s.exec(`UPDATE river_job SET scheduled_at = now() WHERE state = 'scheduled'`)
	if a := s.answer(id); a.Provider != "ollama" || paidCalls(s.groq) != 0 {
		t.Errorf("%s answered, Groq was asked %d times", a.Provider, paidCalls(s.groq))
	}
}

// A business kind is answered by the rules where there is no money, and the next month there is some.
func TestRulesAnswerWithoutMoney(t *testing.T) {
	t.Parallel()
	s := working(t, without, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	s.budget(0)
	contact := s.contact("Asha Rao", nil)
	a := s.answer(s.submit("ai.lead_score", `{"contact_id":"`+contact+`"}`))
	if a.Provider != "rules" || a.FallbackReason == nil || *a.FallbackReason != inference.OutOfBudget || paidCalls(s.groq) != 0 {
		t.Errorf("got %+v", a)
	}
}

func TestSpendingIsBookedWithoutABudget(t *testing.T) {
	t.Parallel()
	s := working(t, without)
	s.groq.Every(dear)
	id := s.submit("ai.completion", completion)
	s.answer(id)
	var cost int64
	s.scan(&cost, `SELECT ceil(cost_nano_usd * 90) FROM ai_calls WHERE job_id = '`+id+`'`)
	if spent, reserved := s.money(); spent != cost || cost == 0 || reserved != 0 {
		t.Errorf("%d spent and %d set aside, want %d", spent, reserved, cost)
	}
}

func TestLocalOnlyNeverLeavesTheHouse(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.ollama.Only("/api/chat")
	s.ollama.Every(unreachable)
	s.exec(`UPDATE organizations SET settings = '{"ai":{"local_only":true,"monthly_budget":100000}}' WHERE id = $1`, s.organization)
	for _, mode := range []string{"interactive", "relaxed"} {
		id := s.submit("ai.completion", `{"prompt":"x","model":"openai/gpt-oss-20b","mode":"`+mode+`"}`)
		if reason := s.waits(id); !strings.Contains(reason, "the organization allows models in the house only") {
			t.Errorf("it waits for %q", reason)
		}
	}
	if n := len(s.groq.Requests()); n != 0 {
		t.Errorf("Groq was asked %d times", n)
	}
	if spent, reserved := s.money(); spent+reserved != 0 {
		t.Errorf("%d spent, %d set aside", spent, reserved)
	}
}

// What a process that was killed had set aside is counted in full by the chore.
func TestReservationOfTheDeadIsSwept(t *testing.T) {
	t.Parallel()
	s := newSite(t, without)
	s.budget(100_00)
	r := store.AIReservation{OrganizationID: s.organization, ID: s.contact("x", nil), JobID: s.organization, NanoINR: 12345}
	if _, ok, err := s.db.ReserveAI(t.Context(), r, time.Now().Add(-14*time.Minute)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	sweep := jobs.SweepReservations(s.deps)
	s.must(sweep(t.Context()))
	if spent, reserved := s.money(); spent != 0 || reserved != 12345 {
		t.Errorf("%d spent, %d set aside: swept too early", spent, reserved)
	}
	s.exec(`UPDATE ai_reservations SET created_at = now() - interval '16 minutes'`)
	s.must(sweep(t.Context()))
	if spent, reserved := s.money(); spent != 12345 || reserved != 0 || !strings.Contains(s.logged.String(), "count as spent") {
		t.Errorf("%d spent, %d set aside", spent, reserved)
	}
}

// Money of a job that ends in the middle of its call is settled all the same, as nobody knows what was billed.
func TestMoneyOfAJobThatEndsIsSettled(t *testing.T) {
	t.Parallel()
	s := working(t, without)
	s.groq.Every(faults.Hang)
	s.budget(100_00)
	id := s.submit("ai.completion", completion, func(j *store.Job) {
		soon := time.Now().Add(3 * time.Second)
		j.Deadline = &soon
	})
	s.eventually("Groq is asked", func() error {
		if paidCalls(s.groq) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	_, before := s.money()
	s.ends(id, store.Failed)
	if spent, reserved := s.money(); spent != before || before == 0 || reserved != 0 {
		t.Errorf("%d spent and %d set aside of %d", spent, reserved, before)
	}
}

// The database throws the settlement out the first time: it is tried again.
func TestSettlementIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := working(t, without)
	called, leave := make(chan struct{}, 8), make(chan struct{})
	free := sync.OnceFunc(func() { close(leave) })
	defer free()
	s.groq.Every(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		called <- struct{}{}
		<-leave
		dear(w, r, pass)
	})
	s.budget(100_00)
	id := s.submit("ai.completion", completion)
	select {
	case <-called:
	case <-time.After(patience):
		t.Fatal("Groq is not asked")
	}
	owner, err := pgx.Connect(t.Context(), s.url)
	s.must(err)
	defer owner.Close(context.Background())
	lock, err := pgx.Connect(t.Context(), s.url)
	s.must(err)
	defer lock.Close(context.Background())
	_, err = lock.Exec(t.Context(), `BEGIN; SELECT FROM ai_reservations FOR UPDATE`)
	s.must(err)
	free()
	s.eventually("the settlement waits and is thrown out", func() error {
		var n int
		s.must(owner.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM ai_reservations%'`).Scan(&n))
		if n == 0 {
			return errors.New("it is not there")
		}
		return nil
	})
	_, err = lock.Exec(t.Context(), `ROLLBACK`)
	s.must(err)
	s.answer(id)
	if spent, reserved := s.money(); spent == 0 || reserved != 0 || len(called) != 0 {
		t.Errorf("%d spent, %d set aside, and Groq was asked %d times more", spent, reserved, len(called))
	}
}
