package events

import (
	"fmt"
	"strconv"
	"strings"
)

// A Position is a place in the outbox. Positions are ordered within an epoch only.
type Position struct {
	Epoch string // one life of the outbox table
	XID   uint64 // transaction
	ID    int64  // row
}

// After reports whether p lies behind q in the order of the outbox. Both must be of one epoch.
func (p Position) After(q Position) bool {
	return p.XID > q.XID || p.XID == q.XID && p.ID > q.ID
}

func (p Position) String() string { return fmt.Sprintf("%s/%d/%d", p.Epoch, p.XID, p.ID) }

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return Position{}, fmt.Errorf("read outbox position %q: want epoch/xid/id", s)
	}
	xid, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("read outbox position %q: %w", s, err)
	}
	id, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("read outbox position %q: %w", s, err)
	}
	return Position{Epoch: parts[0], XID: xid, ID: id}, nil
}
