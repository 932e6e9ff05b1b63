package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// strict reads a client's input into a struct and refuses fields that it doesn't have.
func strict(input json.RawMessage, into any) []Fault {
	if trimmed := bytes.TrimSpace(input); len(trimmed) == 0 || trimmed[0] != '{' {
		return []Fault{{Detail: "must be an object"}}
	}
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		if _, err := d.Token(); err != io.EOF {
			return []Fault{{Detail: "must be one object"}}
		}
		return misspelled(input, into)
	case errors.As(err, &kind):
		return []Fault{{Pointer: pointer(kind.Field), Detail: fmt.Sprintf("must be of type %s, not %s", jsonType(kind.Type.Kind().String()), kind.Value)}}
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name, err := strconv.Unquote(quoted)
		if err != nil {
			name = quoted
		}
		return []Fault{{Pointer: "/" + escape(name), Detail: "is not a field of the input"}}
	}
	return []Fault{{Detail: "is not JSON"}}
}

// misspelled finds fields that encoding/json took for others, as it doesn't mind capitals. What was read has all
// fields by their right names.
func misspelled(input json.RawMessage, read any) []Fault {
	encoded, err := json.Marshal(read)
	var given, known any
	if err = errors.Join(err, json.Unmarshal(input, &given), json.Unmarshal(encoded, &known)); err != nil {
		return []Fault{{Detail: "is not JSON"}}
	}
	if at := stranger(given, known); at != "" {
		return []Fault{{Pointer: at, Detail: "is not a field of the input"}}
	}
	return nil
}

// stranger points to a name in a document that the other doesn't have in the same place; "" for none.
func stranger(given, known any) (pointer string) {
	switch given := given.(type) {
	case map[string]any:
		known, _ := known.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(given)) {
			value, ok := known[name]
			if !ok {
				return "/" + escape(name)
			}
			if at := stranger(given[name], value); at != "" {
				return "/" + escape(name) + at
			}
		}
	case []any:
		known, _ := known.([]any)
		for i := range min(len(given), len(known)) {
			if at := stranger(given[i], known[i]); at != "" {
				return "/" + strconv.Itoa(i) + at
			}
		}
	}
	return ""
}

// pointer turns encoding/json's dotted path into a JSON pointer.
func pointer(path string) string {
	if path == "" {
		return ""
	}
	// The path names embedded structs too, by their types; no name of ours on the wire has a capital.
	names := slices.DeleteFunc(strings.Split(path, "."), func(name string) bool { return strings.ToLower(name) != name })
	return "/" + strings.Join(names, "/")
}

// escape is for a name within a JSON pointer (RFC 6901, section 3).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func jsonType(goKind string) string {
	switch {
	case strings.HasPrefix(goKind, "int"), strings.HasPrefix(goKind, "uint"), strings.HasPrefix(goKind, "float"):
		return "number"
	case goKind == "slice":
		return "array"
	case goKind == "struct", goKind == "map":
		return "object"
	}
	return goKind
}
