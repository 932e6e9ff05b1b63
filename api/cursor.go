package api

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"
)

// page is a part of a list, newest first.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool    `json:"has_more"`
}

// pageOf cuts the row that was read beyond the limit to learn whether there are more.
func pageOf[T any](rows []T, limit int, id func(T) string, filters ...string) page[T] {
	p := page[T]{Data: rows}
	if len(rows) > limit {
		p.Data, p.HasMore = rows[:limit], true
		next := newCursor(id(rows[limit-1]), filters...)
		p.NextCursor = &next
	}
	if p.Data == nil {
		p.Data = []T{}
	}
	return p
}

// PageQuery is what every list takes.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before, with the same filters"`
}

const filterSum = 8

// newCursor says behind which id a list goes on, and for which filters that is true.
func newCursor(last string, filters ...string) string {
	id := uuid.MustParse(last)
	return base64.RawURLEncoding.EncodeToString(append(id[:], sumOf(filters)...))
}

// parseCursor gives the id to go on behind, "" for an empty cursor.
func parseCursor(cursor string, filters ...string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	// The decoder skips line breaks, strict or not.
	if err != nil || len(raw) != len(uuid.UUID{})+filterSum || strings.ContainsAny(cursor, "\r\n") {
		return "", refuse("invalid_cursor", "the cursor is not one of ours")
	}
	if string(raw[len(uuid.UUID{}):]) != string(sumOf(filters)) {
		return "", refuse("invalid_cursor", "the cursor belongs to a list with other filters")
	}
	return uuid.UUID(raw[:len(uuid.UUID{})]).String(), nil
}

func sumOf(filters []string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(filters, "\x00")))
	return sum[:filterSum]
}

// parseID reads an id in a path. What is no UUID names nothing.
func parseID(text string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return "", notFound()
	}
	return id.String(), nil
}
