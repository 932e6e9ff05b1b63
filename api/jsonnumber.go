package api

import (
	"bytes"
	"encoding/json"
	"strings"
)

// numberFault gives a fault of encoding/json its pointer and words of ours. The schema takes 1e3 and 1.0 for
// integers, as JSON Schema says; the fields are whole numbers that are read by their digits, so that none of
// them is lost.
func numberFault(body []byte, f Fault) Fault {
	rest, ok := strings.CutPrefix(f.Detail, "json: cannot unmarshal number ")
	if !ok {
		return f
	}
	literal, into, _ := strings.Cut(rest, " ")
	where, kind, _ := strings.Cut(into, " of type ")
	detail := "must be a whole number, written without fraction and exponent"
	if kind == "float64" {
		detail = "is larger than any number can be"
	}
	// Behind the last dot is the field, where the fault names one.
	name := where[strings.LastIndexByte(where, '.')+1:]
	named := strings.Contains(where, ".")
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return f
		}
		if token != json.Number(literal) {
			continue
		}
		if pointer := pointerAt(body, int(d.InputOffset())-1); !named || strings.HasSuffix(pointer, "/"+name) {
			return Fault{pointer, detail}
		}
	}
}
