package sampledata

import (
	"fmt"
	"math/big"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

type payment struct {
	id        uuid.UUID
	amount    int64
	method    string
	reference *string
	at        time.Time
}

// pay: half of the customers pay within their days, some late, some in two parts, a few never.
func (b *business) pay(d dice, i int, v *invoice) {
	term, age := int(v.due.Sub(v.issue)/(24*time.Hour)), b.calendar.daysSince(v.created)
	days := term + []int{d.between(-term, 0), d.between(0, 7), d.between(8, 45), 1000}[d.weighted(50, 25, 18, 7)]
	days = max(1, days)
	overdue := time.Date(v.due.Year(), v.due.Month(), v.due.Day()+1, 0, 0, 0, 0, india)
	if days > term && !overdue.After(b.calendar.today) {
		v.status, v.updated = "overdue", overdue
		v.version++
	}
	first := v.sum.Total * int64(d.between(20, 70)) / 100
	if days > age {
		if age > 3 && d.percent(15) {
			b.receive(d, i, v, first, d.between(1, age))
		}
		return
	}
	if days > 3 && d.percent(12) {
		b.receive(d, i, v, first, d.between(1, days-1))
	}
	b.receive(d, i, v, v.sum.Total-v.paid, days)
	v.status, v.settled = "paid", &v.payments[len(v.payments)-1].at
}

// receive adds a payment some days after the invoice.
func (b *business) receive(d dice, i int, v *invoice, amount int64, days int) {
	p := payment{amount: amount, at: working(d, midnight(v.created).AddDate(0, 0, days))}
	p.id = b.chance.id(paymentKind, 2*i+len(v.payments), p.at)
	var reference string
	switch d.weighted(45, 35, 12, 8) {
	case 0:
		p.method, reference = "upi", fmt.Sprintf("UPI/%012d", d.Int64N(1e12))
	case 1:
		p.method, reference = "bank transfer", fmt.Sprintf("NEFT/N%09d", d.IntN(1e9))
	case 2:
		p.method, reference = "cheque", fmt.Sprintf("%06d", d.IntN(1e6))
	default:
		p.method = "cash"
	}
	if reference != "" {
		p.reference = &reference
	}
	v.payments = append(v.payments, p)
	v.paid += amount
	v.updated = later(v.updated, p.at)
	v.version++
}

var paymentColumns = []string{"organization_id", "id", "invoice_id", "amount", "method", "reference", "paid_at", "created_at", "updated_at"}

func (b *business) paymentRows(i int, rows [][]any) [][]any {
	v := b.invoice(i)
	for _, p := range v.payments {
		rows = append(rows, []any{b.id, p.id, v.id, p.amount, p.method, p.reference, p.at, p.at, p.at})
	}
	return rows
}

var itemColumns = []string{"organization_id", "invoice_id", "position", "description", "hsn_sac", "quantity", "unit_price", "gst_rate",
	"amount", "cgst", "sgst", "igst", "total", "created_at", "updated_at"}

func (b *business) itemRows(i int, rows [][]any) [][]any {
	v := b.invoice(i)
	for n, one := range v.items {
		quantity := pgtype.Numeric{Int: big.NewInt(int64(one.Quantity)), Exp: -3, Valid: true}
		rows = append(rows, []any{b.id, v.id, n + 1, one.name, one.code, quantity, one.UnitPrice, int32(one.Rate),
			one.Amount, one.CGST, one.SGST, one.IGST, one.Total, v.created, v.created})
	}
	return rows
}
