package letter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What a field of the product's own templates holds at most, in characters.
const (
	maxLine  = 500
	maxProse = 20_000
)

// Fit holds data to what a template of the product's own is made from. It gives them with null for what was left
// out and may be, or what is wrong with them, each with its pointer. Data for a template that isn't the product's
// are returned as they are.
func Fit(name string, data json.RawMessage) (json.RawMessage, []DataError) {
	shape, ok := shapes[name]
	if !ok {
		return data, nil
	}
	values, err := readData(data)
	if err != nil {
		return nil, []DataError{*err.(*DataError)}
	}
	var f fitting
	f.object("", values, shape)
	if len(f.faults) > 0 {
		return nil, f.faults
	}
	var fit bytes.Buffer
	encoder := json.NewEncoder(&fit)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(values); err != nil {
		return nil, []DataError{{Detail: "can't be written as JSON"}}
	}
	if fit.Len() > MaxData {
		return nil, []DataError{{Detail: "are longer than 64 KiB"}}
	}
	return fit.Bytes(), nil
}

// Optional lists the fields of a template of the product's own that may be null or left out, by their names in a
// row, such as organization.email.
func Optional(name string) []string {
	shape, ok := shapes[name]
	if !ok {
		return nil
	}
	return optionalOf("", shape)
}

func optionalOf(before string, shape reflect.Type) (fields []string) {
	for i := range shape.NumField() {
		name, of := before+shape.Field(i).Tag.Get("json"), shape.Field(i).Type
		switch {
		case of.Kind() == reflect.Pointer:
			fields = append(fields, name)
		case of.Kind() == reflect.Struct:
			fields = append(fields, optionalOf(name+".", of)...)
		}
	}
	return fields
}

// A fitting holds values to types, and keeps what is wrong.
type fitting struct{ faults []DataError }

func (f *fitting) fault(pointer, format string, args ...any) {
	f.faults = append(f.faults, DataError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (f *fitting) object(pointer string, o map[string]any, shape reflect.Type) {
	var names []string
	for i := range shape.NumField() {
		field := shape.Field(i)
		name := field.Tag.Get("json")
		names = append(names, name)
		optional := field.Type.Kind() == reflect.Pointer
		v, found := o[name]
		switch {
		case optional && isBlank(v):
			o[name] = nil
		case !found:
			f.fault(pointer+"/"+name, "is missing")
		case optional:
			f.value(pointer+"/"+name, v, field.Type.Elem(), field.Tag.Get("kind"))
		default:
			f.value(pointer+"/"+name, v, field.Type, field.Tag.Get("kind"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(names, name) {
			f.fault(pointer+"/"+escapePointer(name), "is none of the fields %s", strings.Join(names, ", "))
		}
	}
}

// isBlank tells what an optional field may hold in the place of null, as records do.
func isBlank(v any) bool {
	s, ok := v.(string)
	return v == nil || ok && strings.TrimSpace(s) == ""
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(excerpt(name))
}

func (f *fitting) value(pointer string, v any, want reflect.Type, form string) {
	wrong := func(want string) { f.fault(pointer, "must be %s, not %s", want, kind(v)) }
	switch want.Kind() {
	case reflect.Struct:
		if o, ok := v.(map[string]any); ok {
			f.object(pointer, o, want)
		} else {
			wrong("an object")
		}
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			wrong("a list")
		} else if len(list) > MaxItems {
			f.fault(pointer, "has more than %d elements", MaxItems)
		}
		for i, element := range list {
			f.value(pointer+"/"+strconv.Itoa(i), element, want.Elem(), "")
		}
	case reflect.Int64:
		if n, ok := v.(int64); !ok {
			wrong("a whole number")
		} else if n < 0 {
			f.fault(pointer, "must not be below 0")
		}
	default:
		if s, ok := v.(string); !ok {
			wrong("a text")
		} else if detail := misfit(s, form); detail != "" {
			f.fault(pointer, "%s", detail)
		}
	}
}

// misfit says what is wrong with a text of a form, "" if nothing is.
func misfit(s, form string) string {
	most, unfit := maxLine, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }
	if form == "text" {
		most, unfit = maxProse, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\r\n\t", r) }
	}
	switch {
	case strings.TrimSpace(s) == "":
		return "must not be blank"
	case utf8.RuneCountInString(s) > most:
		return fmt.Sprintf("has more than %d characters", most)
	case strings.ContainsFunc(s, unfit):
		return "has a control character or a line break that it can't have"
	}
	switch form {
	case "date":
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return "must be a date such as 2026-04-01"
		}
	case "url":
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return "must be a link that begins with https:// or http://"
		}
	}
	return ""
}
