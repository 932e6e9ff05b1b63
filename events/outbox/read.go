package outbox

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
)

// A Span is a part of the outbox, which keeps a week: what was appended from Since on and before Until,
// of some types or, where none is named, of all, and of one organization or, with "", of all.
type Span struct {
	Since, Until   time.Time
	Types          []string
	OrganizationID string
}

const selectSpan = `
SELECT xid::text, id, event_id::text, organization_id::text, type, subject, aggregate_version,
       coalesce(causation_id, ''), coalesce(correlation_id, ''), coalesce(traceparent, ''), data::text, created_at, true
FROM outbox
WHERE (xid, id) > ($1::text::xid8, $2) AND created_at >= $3 AND created_at < $4
  AND (cardinality($5::text[]) = 0 OR type = ANY($5))
  AND ($6::text = '' OR organization_id = nullif($6, '')::uuid)
ORDER BY outbox.xid, outbox.id
LIMIT $7`

// Read calls each with the events of a part of the outbox, in order, some hundred at a time.
func Read(ctx context.Context, db Execer, s Span, each func([]Entry) error) error {
	var last events.Position
	if s.Types == nil {
		s.Types = []string{}
	}
	for {
		rows, err := db.Query(ctx, selectSpan, strconv.FormatUint(last.XID, 10), last.ID, s.Since, s.Until, s.Types, s.OrganizationID, maxBatch)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Entry, error) {
			e, _, err := scanEntry(row, "")
			return e, err
		})
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		last = entries[len(entries)-1].Position
		if err := each(entries); err != nil {
			return err
		}
	}
}
