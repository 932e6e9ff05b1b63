package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// optional is a field of a merge patch: left out, null, or a value.
type optional[T any] struct {
	value T
	set   bool // it was there, as null or as a value
	null  bool
}

// UnmarshalJSON implements json.Unmarshaler; it is not called for a field that is left out.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.set = true
	if o.null = string(b) == "null"; o.null {
		return nil
	}
	return json.Unmarshal(b, &o.value)
}

// Schema implements huma.SchemaProvider.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}

// pointer is nil for null.
func (o optional[T]) pointer() *T {
	if o.null || !o.set {
		return nil
	}
	return &o.value
}

// into stores a value that was given; null stores the default.
func (o optional[T]) into(field *T, standard T) {
	switch {
	case o.null:
		*field = standard
	case o.set:
		*field = o.value
	}
}
