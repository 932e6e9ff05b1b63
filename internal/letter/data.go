package letter

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// The values of a letter's data are nil, bool, string, int64, decimal, []any and map[string]any, none of which
// has methods that a template could call.

// A decimal is a number that no int64 is, as it was written.
type decimal string

// readData takes the data of a letter: a JSON object.
func readData(data json.RawMessage) (map[string]any, error) {
	if len(data) > MaxData {
		return nil, &DataError{Detail: "are longer than 64 KiB"}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var values any
	if err := decoder.Decode(&values); err != nil {
		return nil, &DataError{Detail: "are no JSON"}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, &DataError{Detail: "are more than one JSON value"}
	}
	object, ok := values.(map[string]any)
	if !ok {
		return nil, &DataError{Detail: "must be an object"}
	}
	plain(object)
	return object, nil
}

// plain gives numbers the types of ours.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, element := range v {
			v[key] = plain(element)
		}
	case []any:
		for i, element := range v {
			v[i] = plain(element)
		}
	case json.Number:
		return numberOf(v.String())
	}
	return value
}

func numberOf(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return decimal(text)
}

// kind says what a value is, as its reader calls it.
func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case int64, decimal:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "something else"
}

// constant gives what stands in a template the types of the data.
func constant(value any) any {
	switch v := value.(type) {
	case int:
		return int64(v)
	case float64:
		return numberOf(strconv.FormatFloat(v, 'f', -1, 64))
	}
	return value
}
