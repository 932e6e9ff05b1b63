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
	literal, _, _ := strings.Cut(rest, " ")
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return f
		}
		if token == json.Number(literal) {
			return Fault{pointerAt(body, int(d.InputOffset())-1), "must be a whole number, written without fraction and exponent"}
		}
	}
}
