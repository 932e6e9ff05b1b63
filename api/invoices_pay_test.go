package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

func TestPayInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	v := g.sent(t, key, contact)
	r := g.act(t, key, v.ID, "pay", `{"amount":18000,"paid_at":"2026-10-01T10:00:00+05:30","method":" upi","reference":"r1 "}`, "If-Match", `"2"`).want(200)
	part := r.invoice()
	if part.Status != "sent" || part.AmountPaid != 18000 || part.AmountDue != 100000 || part.PaidAt != nil || r.header.Get("ETag") != `"3"` || len(part.Payments) != 1 {
		t.Errorf("got %s", r.body)
	}
	if p := part.Payments[0]; p.Amount != 18000 || *p.Method != "upi" || *p.Reference != "r1" || p.PaidAt.Format(time.RFC3339) != "2026-10-01T04:30:00Z" {
		t.Errorf("payment %+v", p)
	}
	g.act(t, key, v.ID, "pay", `{"amount":1}`, "If-Match", `"2"`).problem(412, "precondition_failed")
	p := g.act(t, key, v.ID, "pay", `{"amount":100001}`).problem(422, "validation_failed", "/amount")
	if p.Errors[0].Detail != "must be at most 100000, which is due" {
		t.Errorf("%+v", p.Errors)
	}
	future := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for body, pointers := range map[string]string{
		`{}`: "/amount", `{"amount":0}`: "/amount", `{"amount":-5}`: "/amount", `{"amount":1.5}`: "/amount", `{"amount":"1"}`: "/amount", `{"amount":null}`: "/amount",
		`{"amount":1,"paid_at":"` + future + `"}`: "/paid_at", `{"amount":1,"paid_at":"yesterday"}`: "/paid_at", `{"amount":1,"paid_at":"0001-01-01T00:00:00+05:30"}`: "/paid_at",
		`{"amount":1,"method":""}`:                  "/method",
		`{"amount":1,"method":" ","reference":" "}`: "/method /reference", `{"amount":1,"method":"x\ny"}`: "/method", `{"amount":1,"currency":"INR"}`: "/currency",
	} {
		g.act(t, key, v.ID, "pay", body).problem(422, "validation_failed", strings.Fields(pointers)...)
	}
	g.act(t, key, v.ID, "cancel", "").problem(409, "invoice_has_payments")
	g.set(t, `UPDATE invoices SET status = 'overdue' WHERE id = $1`, v.ID)
	// Payments are told in any order; the invoice was paid with the latest.
	g.act(t, key, v.ID, "pay", `{"amount":50000,"paid_at":"2026-11-01T00:00:00Z"}`).want(200)
	full := g.act(t, key, v.ID, "pay", `{"amount":50000,"paid_at":"2026-10-15T00:00:00Z","method":null}`).want(200).invoice()
	if full.Status != "paid" || full.AmountDue != 0 || full.PaidAt == nil || full.PaidAt.Format(time.DateOnly) != "2026-11-01" || len(full.Payments) != 3 {
		t.Errorf("got %+v", full)
	}
	if p := g.act(t, key, v.ID, "pay", `{"amount":1}`).problem(409, "invalid_transition"); p.Detail != "nothing is due any more: the invoice is paid" {
		t.Errorf("%s", p.Detail)
	}
	g.act(t, key, v.ID, "cancel", "").problem(409, "invoice_has_payments")
	if got, want := g.story(t, v.ID), "created1 sent2 updated3amount_paid updated4amount_paid paid5"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if p := g.act(t, key, g.draft(t, key, contact).ID, "pay", `{"amount":1}`).problem(409, "invalid_transition"); !strings.Contains(p.Detail, "send it first") {
		t.Errorf("%s", p.Detail)
	}
}

// A client whose clock is a little ahead is not refused, and still nothing was paid in the future.
func TestPayByAFastClock(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.sent(t, key, g.buyer(t, org, nil, nil))
	ahead := time.Now().Add(clockSkew - 10*time.Second)
	p := g.act(t, key, v.ID, "pay", `{"amount":1,"paid_at":"`+ahead.UTC().Format(time.RFC3339)+`"}`).want(200).invoice().Payments[0]
	if p.PaidAt.After(time.Now()) {
		t.Errorf("paid at %s", p.PaidAt)
	}
}

func TestInvoiceRepeats(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	twice := func(path, body string) *reply {
		t.Helper()
		first := g.call(t, key, "POST", path, body, "Idempotency-Key", "k")
		again := g.call(t, key, "POST", path, body, "Idempotency-Key", "k")
		if first.status >= 300 || again.status != first.status || strings.TrimSpace(string(again.body)) != strings.TrimSpace(string(first.body)) ||
			again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("ETag") != first.header.Get("ETag") || first.header.Get("ETag") == "" {
			t.Errorf("%s: %d %s\nthen %d %s %v", path, first.status, first.body, again.status, again.body, again.header)
		}
		return first
	}
	v := twice("/api/invoices", invoiceBody(contact, "")).invoice()
	twice("/api/invoices/"+v.ID+"/send", "")
	twice("/api/invoices/"+v.ID+"/pay", `{"amount":500}`)
	g.act(t, key, v.ID, "pay", `{"amount":501}`, "Idempotency-Key", "k").problem(422, "idempotency_key_reused")
	other := g.draft(t, key, contact)
	twice("/api/invoices/"+other.ID+"/cancel", "")
	if got, want := g.story(t, v.ID), "created1 sent2 updated3amount_paid"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Fifty equal requests at once are one payment.
func TestPayOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.sent(t, key, g.buyer(t, org, nil, nil))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				r := g.act(t, key, v.ID, "pay", `{"amount":1000}`, "Idempotency-Key", `"one"`)
				if r.status == 409 && r.header.Get("Retry-After") != "" {
					continue
				}
				if r.want(200).invoice().AmountPaid != 1000 {
					t.Errorf("got %s", r.body)
				}
				return
			}
		})
	}
	wg.Wait()
	if v := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200).invoice(); v.AmountPaid != 1000 || len(v.Payments) != 1 || v.Version != 3 {
		t.Errorf("got %+v", v)
	}
}

// Payments at once never come to more than is due.
func TestPaymentsAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.sent(t, key, g.buyer(t, org, nil, nil))
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range 40 {
		wg.Go(func() {
			r := g.act(t, key, v.ID, "pay", `{"amount":7000}`) // 16 times, and 6000 are left
			var p problem
			_ = json.Unmarshal(r.body, &p)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(r.status, p.Code)]++
		})
	}
	wg.Wait()
	end := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200).invoice()
	if answers["200"] != 16 || answers["422validation_failed"] != 24 || end.AmountPaid != 112000 || len(end.Payments) != 16 || end.Status != store.InvoiceSent {
		t.Errorf("answers %v, end %+v", answers, end)
	}
}
