package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A jobSearch looks through one source, newest or oldest first, a window of rows after the other: the first is as
// long as the page, which is enough where an index answers, the next ones are longer.
type jobSearch struct {
	filter AdminJobFilter
	source jobSource
	begin  string // where it began
	at     string // behind it nothing was looked at
	limit  int
	found  []AdminJob
	// enough is the moment behind which nothing is wanted any more, as another source has filled the page; nil: none is.
	enough *time.Time
	// stopped is how far it came when the time was over; nil: it found enough, or came to the end.
	stopped *time.Time
}

func newJobSearch(f AdminJobFilter, s jobSource, from string, limit int) *jobSearch {
	return &jobSearch{filter: f, source: s, begin: from, at: from, limit: limit}
}

const (
	windowGrowth = 6
	mostInWindow = 4000
)

// run looks until one more than the page takes was found, the source is at its end, or the time is over.
func (s *jobSearch) run(ctx context.Context, tx pgx.Tx, until time.Time) error {
	size := s.limit + 1
	var kinds []string
	if s.at != endOfSource && s.source.merges(s.filter) {
		var err error
		if kinds, err = kindsOfJobs(ctx, tx, s.filter.Queue); err != nil {
			return err
		}
		if len(kinds) == 0 {
			s.at = endOfSource
		}
	}
	for s.at != endOfSource && len(s.found) <= s.limit {
		seen, err := s.window(ctx, tx, kinds, size)
		if err != nil {
			return err
		}
		switch {
		case seen.count < size || s.source.past(s.filter, seen.last):
			s.at = endOfSource
		case s.enough != nil && s.filter.Order.before(*s.enough, seen.last):
			s.at = seen.lastID
			return nil
		case len(s.found) <= s.limit && time.Now().After(until):
			s.at, s.stopped = seen.lastID, &seen.last
			return nil
		default:
			s.at = seen.lastID
		}
		size = min(size*windowGrowth, mostInWindow)
	}
	return nil
}

// placeAfter is where the list goes on when so many of what was found have been shown.
func (s *jobSearch) placeAfter(shown int) string {
	switch {
	case shown == len(s.found):
		return s.at
	case shown == 0:
		return s.begin
	}
	return s.found[shown-1].ID
}

type windowEnd struct {
	count  int
	lastID string
	last   time.Time
}

// window reads so many rows and keeps those that the filter lets through.
func (s *jobSearch) window(ctx context.Context, tx pgx.Tx, kinds []string, size int) (windowEnd, error) {
	q := &jobQuery{filter: s.filter, source: s.source, at: s.at, kinds: kinds}
	var end windowEnd
	// Described and not prepared: each statement is planned for its values, as what fits one filter is ruin for another.
	args := append([]any{pgx.QueryExecModeCacheDescribe}, q.build(size, s.limit+1-len(s.found))...)
	rows, err := tx.Query(ctx, q.sql, args...)
	if err != nil {
		return end, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[windowRow])
	if err != nil {
		return end, err
	}
	for _, r := range list {
		end = windowEnd{count: r.SeenCount, lastID: r.SeenID, last: r.SeenAt}
		if r.ID != "" { // else nothing in the window was wanted
			s.found = append(s.found, r.AdminJob)
		}
	}
	return end, nil
}

// windowRow is a row that was found, with the end of the window that it is from.
type windowRow struct {
	AdminJob
	SeenCount int       `db:"seen_count"`
	SeenID    string    `db:"seen_id"`
	SeenAt    time.Time `db:"seen_at"`
}
