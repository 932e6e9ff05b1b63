package admin

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/payaid/payaid/operator"
)

// A difference is a field that was changed; "" where there was none.
type difference struct{ Field, Before, After string }

// differences compares two objects field by field. What is no object is one value without a name.
func differences(before, after operator.Object) (list []difference) {
	was, is := fieldsOf(before), fieldsOf(after)
	names := maps.Clone(was)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if string(was[name]) != string(is[name]) {
			list = append(list, difference{name, string(was[name]), string(is[name])})
		}
	}
	return list
}

func fieldsOf(o operator.Object) map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage)
	switch {
	case len(o) == 0 || string(o) == "null":
	case json.Unmarshal(o, &fields) != nil:
		fields = map[string]json.RawMessage{"": json.RawMessage(o)}
	}
	return fields
}
