package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/sampledata"
)

// Few and many contacts of one organization: a list has to be as quick with the many.
const fewContacts = 10_000

// listsRequests is how many pages are read for a percentile.
const listsRequests = 500

// lists measures a page of 50 contacts with their deals and invoices, one client, page after page, without a
// cache: with few contacts, then with many.
func (b *bench) lists(ctx context.Context) error {
	few, err := b.listPages(ctx, "bench_few", fewContacts)
	if err != nil {
		return err
	}
	many, err := b.listPages(ctx, "bench_many", b.Contacts)
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("contact list of 50 with both includes, %d", b.Contacts), value: many.p95(),
		against: fmt.Sprintf("%d contacts %s", fewContacts, few.p95()), ratio: float64(many.at(0.95)) / float64(few.at(0.95)),
		target:  "p95 <= 10 ms, ratio <= 1.5",
		verdict: met(many.at(0.95) <= 10*time.Millisecond && float64(many.at(0.95)) <= 1.5*float64(few.at(0.95)))})
	return nil
}

func (l *latencies) p95() string {
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms", millis(l.at(0.5)), millis(l.at(0.95)))
}

func (b *bench) listPages(ctx context.Context, database string, contacts int) (*latencies, error) {
	s, err := b.start(ctx, database, apiAlone)
	if err != nil {
		return nil, err
	}
	times, err := s.readPages(ctx, contacts)
	return times, errors.Join(err, s.stop())
}

func (s *stack) readPages(ctx context.Context, contacts int) (*latencies, error) {
	if err := s.fill(ctx, contacts); err != nil {
		return nil, err
	}
	var times latencies
	cursor := ""
	for range listsRequests {
		path := "/api/contacts?include=deals,invoices&limit=50"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		var page struct {
			Data       []struct{} `json:"data"`
			NextCursor *string    `json:"next_cursor"`
		}
		began := time.Now()
		if err := s.client.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		times.add(time.Since(began))
		if len(page.Data) != 50 {
			return nil, fmt.Errorf("a page has %d contacts", len(page.Data))
		}
		cursor = ""
		if page.NextCursor != nil {
			cursor = *page.NextCursor
		}
	}
	return &times, nil
}

// fill gives the bench's organization contacts, with two deals and an invoice for each.
func (s *stack) fill(ctx context.Context, contacts int) error {
	var own struct{ ID string }
	if err := s.client.do(ctx, http.MethodGet, "/api/organization", nil, &own); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(ctx)
	_, err = sampledata.Fill(ctx, conn, sampledata.Options{Into: own.ID, Contacts: contacts, Deals: 2 * contacts, Invoices: contacts})
	if err != nil {
		return err
	}
	// As autovacuum would soon: without it every row that is read is looked at by the clean-up of its page.
	_, err = conn.Exec(ctx, `VACUUM (ANALYZE) contacts, deals, invoices`)
	return err
}
