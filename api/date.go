package api

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// date is a day without a time of day, "2026-11-22" in JSON.
type date struct{ day time.Time }

// dateOf is nil for nil.
func dateOf(t *time.Time) *date {
	if t == nil {
		return nil
	}
	return &date{*t}
}

// time is midnight UTC of that day, as the database has it; nil for nil.
func (d *date) time() *time.Time {
	if d == nil {
		return nil
	}
	return &d.day
}

// MarshalJSON implements json.Marshaler.
func (d date) MarshalJSON() ([]byte, error) { return json.Marshal(d.day.Format(time.DateOnly)) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(b []byte) error {
	var text string
	err := json.Unmarshal(b, &text)
	if err == nil {
		d.day, err = time.Parse(time.DateOnly, text)
	}
	return err
}

// Schema implements huma.SchemaProvider.
func (date) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

func sameDay(a, b *time.Time) bool {
	return a == b || a != nil && b != nil && a.Equal(*b)
}
