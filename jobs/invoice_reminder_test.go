package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
)

type reminder struct {
	Subject     string `json:"subject"`
	Body        string `json:"body"`
	StageDays   int    `json:"stage_days"`
	DaysOverdue int    `json:"days_overdue"`
	Corrected   bool   `json:"corrected"`
}

func TestInvoiceReminder(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.invoice(s.contact("Asha Rao", map[string]any{"notes": "Never mention the fire."}), -8, map[string]any{"amount_paid": 180_00})
	a := s.answer(s.submit("ai.invoice_reminder", about("invoice", id)))
	got := read[reminder](t, a.JSON)
	if a.Provider != inference.Ollama || got.StageDays != 7 || got.DaysOverdue != 8 ||
		!strings.Contains(got.Body, "INV/26-27/0001") || !strings.Contains(got.Body, "₹1,000") {
		t.Errorf("%s says %+v; want the number and ₹1,000 in it", a.Provider, got)
	}
	if kept := read[reminder](t, s.insight("ai.invoice_reminder", "invoice", id)); kept != got {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
	if _, data := s.asked(0); strings.Contains(fmt.Sprint(data), "fire") {
		t.Errorf("the data is %v, with the notes in it", data)
	}
}

func TestReminderWithMadeUpAmountIsCorrected(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.invoice(s.contact("Asha Rao", nil), -3, map[string]any{"status": "overdue"})
	s.ollama.Next(faults.OllamaSays(`{"subject":"Pay now","body":"Dear Asha, INV/26-27/0001 is due: ₹1,180 and a fee of ₹500."}`, "stop"))
	a := s.answer(s.submit("ai.invoice_reminder", about("invoice", id)))
	got := read[reminder](t, a.JSON)
	if a.Provider != inference.Ollama || !got.Corrected || got.StageDays != 3 || strings.Contains(got.Subject+got.Body, "500") || !strings.Contains(got.Body, "₹1,180") {
		t.Errorf("%s says %+v", a.Provider, got)
	}
}

func TestReminderOfWhatIsNotDue(t *testing.T) {
	t.Parallel()
	s := working(t)
	contact := s.contact("Asha Rao", nil)
	for _, state := range []map[string]any{
		{"status": "draft", "number": nil, "financial_year": nil, "sequence": nil, "sent_at": nil, "supplier": nil, "customer": nil},
		{"status": "paid", "amount_paid": 1180_00, "paid_at": time.Now()},
		{"status": "cancelled", "cancelled_at": time.Now()},
	} {
		j := s.ends(s.submit("ai.invoice_reminder", about("invoice", s.invoice(contact, -8, state))), store.Failed)
		var p struct {
			Code, Detail string
			Errors       []struct{ Pointer string }
		}
		if err := json.Unmarshal(j.Error, &p); err != nil || p.Code != "invalid_state" || len(p.Errors) != 1 ||
			p.Errors[0].Pointer != "/input/invoice_id" || !strings.Contains(p.Detail, state["status"].(string)) {
			t.Errorf("%s: %s, want invalid_state at /input/invoice_id", state["status"], j.Error)
		}
	}
	s.ends(s.submit("ai.invoice_reminder", about("invoice", contact)), store.Failed)
	if n := len(s.ollama.Requests()); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
}

func TestRulesRemind(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	id := s.invoice(s.contact("Asha Rao", nil), -31, map[string]any{"status": "overdue"})
	a := s.answer(s.submit("ai.invoice_reminder", about("invoice", id)))
	got := read[reminder](t, a.JSON)
	if a.Provider != "rules" || got.Corrected || got.StageDays != 30 || got.DaysOverdue != 31 ||
		got.Subject != "Final reminder: invoice INV/26-27/0001 is 31 days overdue" || !strings.Contains(got.Body, "₹1,180 is still open") {
		t.Errorf("%s says %+v", a.Provider, got)
	}
}
