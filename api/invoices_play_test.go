package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

func mustDay(t testing.TB, text string) time.Time {
	t.Helper()
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Error(err)
	}
	return day
}

// ledger is what clients were answered about things that many of them change at once.
type ledger struct {
	mu       sync.Mutex
	versions map[string][]int64          // of each thing, as changes were answered
	words    map[string]map[int64]string // what a version was said to have as its notes or title
	paid     map[string]int64            // what was taken for an invoice
	refused  map[string]int
}

func newLedger() *ledger {
	return &ledger{versions: map[string][]int64{}, words: map[string]map[int64]string{}, paid: map[string]int64{}, refused: map[string]int{}}
}

// note takes an answer down. Deletion has no version.
func (l *ledger) note(t testing.TB, r *reply, id, word string, paid int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.status {
	case 204:
	case 200:
		var v struct{ Version int64 }
		if err := json.Unmarshal(r.body, &v); err != nil {
			t.Errorf("%s: %v", r.body, err)
		}
		l.versions[id] = append(l.versions[id], v.Version)
		l.paid[id] += paid
		if word != "" {
			if l.words[id] == nil {
				l.words[id] = map[int64]string{}
			}
			l.words[id][v.Version] = word
		}
	case 404, 409, 412, 422:
		var p problem
		_ = json.Unmarshal(r.body, &p)
		l.refused[p.Code]++
	default:
		t.Errorf("%s: %d %s", r.what, r.status, r.body)
	}
}

// lastWord is the word of the newest version that has one.
func (l *ledger) lastWord(id string) string {
	var newest int64
	for v := range l.words[id] {
		newest = max(newest, v)
	}
	return l.words[id][newest]
}

// player is a client that does things at random.
type player struct {
	*ledger
	g            *rig
	t            *testing.T
	organization string
	key          string
	invoices     []string
	deals        []string
	random       *rand.Rand
	name         int
}

func (p *player) play(turn int) {
	word := fmt.Sprintf("%d-%d", p.name, turn)
	switch p.random.IntN(8) {
	case 0, 1:
		p.changeDeal(word)
		return
	case 2:
		p.markOverdue()
	}
	id := p.invoices[p.random.IntN(len(p.invoices))]
	path := "/api/invoices/" + id
	var headers []string
	amount := p.random.Int64N(40000) + 1
	if p.random.IntN(3) == 0 {
		now := p.g.call(p.t, p.key, "GET", path, "")
		if now.status != 200 {
			return // deleted
		}
		headers = []string{"If-Match", now.header.Get("ETag"), "Idempotency-Key", word}
		amount = max(now.invoice().AmountDue, 1)
	}
	send := func(method, path, body, word string, paid int64) {
		r := p.g.call(p.t, p.key, method, path, body, headers...)
		if r.status == 200 && headers != nil && versionTag(r.invoice().Version-1) != headers[1] {
			p.t.Errorf("%s with If-Match %s came to %s", r.what, headers[1], r.header.Get("ETag"))
		}
		p.note(p.t, r, id, word, paid)
	}
	switch n := p.random.IntN(20); {
	case n < 5:
		send("PATCH", path, `{"notes":"`+word+`"}`, word, 0)
	case n < 8:
		items := fmt.Sprintf(`{"notes":"%s","place_of_supply":"%s","items":[%s,{"description":"%s","quantity":"%d.25","unit_price":%d,"gst_rate":%s}]}`, word,
			[]string{"KA", "KL"}[p.random.IntN(2)], aLine, word, p.random.IntN(5), p.random.IntN(1000), []string{"0.25", "5", "18"}[p.random.IntN(3)])
		send("PATCH", path, items, word, 0)
	case n < 10:
		day := time.Now().AddDate(0, 0, p.random.IntN(21)-10).Format(time.DateOnly)
		send("PATCH", path, `{"due_date":"`+day+`","notes":"`+word+`"}`, word, 0)
	case n < 13:
		send("POST", path+"/send", "", "", 0)
	case n < 18:
		send("POST", path+"/pay", fmt.Sprintf(`{"amount":%d}`, amount), "", amount)
	case n < 19:
		send("POST", path+"/cancel", "", "", 0)
	default:
		send("DELETE", path, "", "", 0)
	}
}

func (p *player) changeDeal(word string) {
	id := p.deals[p.random.IntN(len(p.deals))]
	stages := []string{"lead", "qualified", "proposal", "negotiation", "lost"}
	body := fmt.Sprintf(`{"title":"%s","stage":"%s"}`, word, stages[p.random.IntN(len(stages))])
	p.note(p.t, p.g.call(p.t, p.key, "PATCH", "/api/deals/"+id, body), id, word, 0)
}

// markOverdue does what the schedule does.
func (p *player) markOverdue() {
	var facts []events.Fact
	err := p.g.system.Tx(p.t.Context(), func(tx pgx.Tx) error {
		list, err := store.MarkOverdue(p.t.Context(), tx, 2)
		for _, v := range list {
			facts = append(facts, events.InvoiceOverdue{InvoiceID: v.ID, Version: v.Version})
		}
		if err != nil || len(facts) == 0 {
			return err
		}
		return outbox.Append(p.t.Context(), tx, outbox.Origin{OrganizationID: p.organization}, facts...)
	})
	if err != nil {
		p.t.Error(err)
	}
}

// A thousand changes of the same few invoices and deals by several clients: none is lost, none done twice,
// the sums are right, and what the outbox tells is a path that there is.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	l := newLedger()
	var invoices, deals []string
	for range 24 {
		invoices = append(invoices, g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, `,"issue_date":"2026-06-01"`)).want(201).invoice().ID)
	}
	for range 3 {
		var d DealView
		g.call(t, key, "POST", "/api/deals", `{"contact_id":"`+contact+`","title":"x","value":1}`).want(201).json(&d)
		deals = append(deals, d.ID)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var clients sync.WaitGroup
	for i := range 8 {
		p := &player{ledger: l, g: g, t: t, organization: org, key: key, invoices: invoices, deals: deals, name: i, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		clients.Go(func() {
			for turn := range 125 {
				p.play(turn)
			}
		})
	}
	clients.Wait()
	sent := 0
	seen := map[string]int{}
	for _, id := range invoices {
		story, path := g.invoicePath(t, id)
		for _, step := range path {
			seen[step]++
		}
		if slices.Contains(path, store.InvoiceSent) && slices.Contains(story, "invoice.sent") {
			sent++
		}
		g.checkInvoice(t, key, id, l, path[len(path)-1])
	}
	for _, id := range deals {
		g.checkVersions(t, id, l, nil)
		var d DealView
		if g.call(t, key, "GET", "/api/deals/"+id, "").want(200).json(&d); d.Title != l.lastWord(id) {
			t.Errorf("deal %s is called %s, not %s", id, d.Title, l.lastWord(id))
		}
	}
	g.wantNoGaps(t, org, 2026, sent)
	t.Logf("statuses %v, refusals %v", seen, l.refused)
	for _, status := range []string{"draft", "sent", "overdue", "paid", "cancelled", "deleted"} {
		if seen[status] == 0 {
			t.Errorf("no invoice ever was %s", status)
		}
	}
}

// checkVersions wants the versions 2, 3, … each told once by the outbox, and each that a client was answered
// to be among those that others were not.
func (g *rig) checkVersions(t *testing.T, id string, l *ledger, more []string) {
	t.Helper()
	var told []int64
	own := len(l.versions[id])
	for _, f := range g.facts(t, id) {
		told = append(told, versionOf(t, f))
		if slices.Contains(more, f.typ) {
			own++
		}
	}
	slices.Sort(told)
	told = slices.Compact(told)
	for i, v := range told {
		if v != int64(i)+1 {
			t.Errorf("%s: the outbox tells versions %v", id, told)
			break
		}
	}
	answered := slices.Sorted(slices.Values(l.versions[id]))
	if unique := slices.Compact(slices.Clone(answered)); len(unique) != len(answered) {
		t.Errorf("%s: one version was answered to two changes: %v", id, answered)
	}
	if own != len(told)-1 {
		t.Errorf("%s: %d changes were answered, %d told", id, own, len(told)-1)
	}
}

func versionOf(t testing.TB, f fact) int64 {
	t.Helper()
	var v struct{ Version int64 }
	if err := json.Unmarshal([]byte(f.data), &v); err != nil {
		t.Fatal(err)
	}
	return v.Version
}

// invoicePath gives the facts of an invoice, and the statuses that they lead through.
func (g *rig) invoicePath(t *testing.T, id string) (story, path []string) {
	t.Helper()
	legal := map[string]string{
		">created": "draft", "draft>updated": "draft", "draft>sent": "sent", "draft>cancelled": "cancelled", "draft>deleted": "deleted",
		"sent>updated": "sent", "sent>paid": "paid", "sent>overdue": "overdue", "sent>cancelled": "cancelled",
		"overdue>updated": "overdue", "overdue>updated,status": "sent", "overdue>paid": "paid", "overdue>cancelled": "cancelled",
	}
	status := ""
	facts := g.facts(t, id)
	slices.SortStableFunc(facts, func(a, b fact) int { return int(versionOf(t, a) - versionOf(t, b)) })
	for _, f := range facts {
		step := strings.TrimPrefix(f.typ, "invoice.")
		if strings.Contains(f.data, `"status"`) {
			step += ",status"
		}
		next, ok := legal[status+">"+step]
		if !ok {
			t.Fatalf("%s: %s when it was %s", id, step, status)
		}
		status = next
		story, path = append(story, f.typ), append(path, status)
	}
	return story, path
}

func (g *rig) checkInvoice(t *testing.T, key, id string, l *ledger, status string) {
	t.Helper()
	g.checkVersions(t, id, l, []string{"invoice.overdue", "invoice.deleted"})
	if status == "deleted" {
		g.call(t, key, "GET", "/api/invoices/"+id, "").problem(404, "not_found")
		return
	}
	v := g.call(t, key, "GET", "/api/invoices/"+id, "").want(200).invoice()
	checkSums(t, v)
	if v.Status != status || v.AmountPaid != l.paid[id] {
		t.Errorf("%s is %s with %d paid, want %s with %d", id, v.Status, v.AmountPaid, status, l.paid[id])
	}
	if word := l.lastWord(id); word != "" && (v.Notes == nil || *v.Notes != word) {
		t.Errorf("%s: notes %v, want %s", id, v.Notes, word)
	}
}

// checkSums wants an invoice to add up.
func checkSums(t testing.TB, v invoiceDetail) {
	t.Helper()
	var sum invoiceItemView
	for _, item := range v.Items {
		if item.Total != item.Amount+item.CGST+item.SGST+item.IGST || item.CGST != item.SGST || item.IGST > 0 && item.CGST > 0 {
			t.Errorf("item %+v", item)
		}
		sum.Amount, sum.CGST, sum.SGST = sum.Amount+item.Amount, sum.CGST+item.CGST, sum.SGST+item.SGST
		sum.IGST, sum.Total = sum.IGST+item.IGST, sum.Total+item.Total
	}
	var paid int64
	for _, p := range v.Payments {
		paid += p.Amount
	}
	due := v.Total - paid
	if v.Status == store.InvoiceCancelled {
		due = 0
	}
	if v.Subtotal != sum.Amount || v.CGST != sum.CGST || v.SGST != sum.SGST || v.IGST != sum.IGST || v.Total != sum.Total ||
		v.Total != v.Subtotal+v.CGST+v.SGST+v.IGST || v.AmountPaid != paid || v.AmountDue != due || paid > v.Total ||
		v.InterState && v.CGST > 0 || !v.InterState && v.IGST > 0 || v.Total > 1<<53-1 {
		t.Errorf("does not add up: %+v", v)
	}
}
