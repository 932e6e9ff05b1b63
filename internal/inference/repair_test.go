package inference

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func anyDocument(json.RawMessage) bool { return true }

func TestRepair(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"valid", ` {"a": 1} `, ` {"a": 1} `},
		{"a fence", "```json\n{\"a\":1}\n```", `{"a":1}`},
		{"prose around", `Sure! Here it is: {"a":"}"} Anything else?`, `{"a":"}"}`},
		{"a bracket in the prose", `As in {note}: {"a":1}`, `{"a":1}`},
		{"trailing commas", `{"a":[1,2,],"b":",}",}`, `{"a":[1,2],"b":",}"}`},
		{"brackets missing", `{"a":{"b":[1,{"c":"d"}`, `{"a":{"b":[1,{"c":"d"}]}}`},
		{"a comma, then nothing", `{"a":[1,`, `{"a":[1]}`},
		{"an escaped quote", `x {"a":"\"}\\"} y`, `{"a":"\"}\\"}`},
		{"cut in a string", `{"a":"hal`, ""},
		{"cut in an escape", `{"a":"hal\`, ""},
		{"cut after a key", `{"a"`, ""},
		{"cut after a colon", `{"a":1,"b":`, ""},
		{"cut in a number, perhaps", `{"a":12`, ""},
		{"a number that has ended", "{\"a\":12\n", "{\"a\":12\n}"},
		{"cut in a word", `{"a":tru`, ""},
		{"brackets that don't match", `{"a":[1}`, ""},
		{"no document", `I can't say.`, ""},
		{"single quotes", `{'a':1}`, ""},
		{"nothing", ``, ""},
	} {
		got, ok := repair(tc.in, anyDocument)
		if string(got) != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, ok, tc.want)
		}
	}
}

func TestRepairLooksForWhatIsAccepted(t *testing.T) {
	t.Parallel()
	got, ok := repair(`By [1], {"a":1}.`, func(d json.RawMessage) bool { return d[0] == '{' })
	if !ok || string(got) != `{"a":1}` {
		t.Errorf("%q, %v; want the object", got, ok)
	}
}

// value draws any JSON value.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.String().Draw(t, "string")
		case 1:
			return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return nil
		case 4:
			return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "array")
		}
		return rapid.MapOfN(rapid.String(), value(depth-1), 0, 4).Draw(t, "object")
	})
}

func TestRepairNeverInvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc, err := json.Marshal(value(3).Draw(t, "document"))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := repair(string(doc), anyDocument); !ok || string(got) != string(doc) {
			t.Fatalf("valid %q became %q", doc, got)
		}
		if doc[0] != '{' && doc[0] != '[' {
			return
		}
		if got, ok := repair("Here:\n```json\n"+string(doc)+"\n```\nDone.", anyDocument); !ok || string(got) != string(doc) {
			t.Fatalf("%q in a fence became %q", doc, got)
		}
		closers := len(doc) - len(strings.TrimRight(string(doc), "]}"))
		open := string(doc[:len(doc)-rapid.IntRange(0, closers).Draw(t, "dropped")])
		if open != string(doc) && endsInDigit(open) {
			open += " "
		}
		if got, ok := repair(open, anyDocument); !ok || strings.ReplaceAll(string(got), " ", "") != strings.ReplaceAll(string(doc), " ", "") {
			t.Fatalf("%q became %q, want %q", open, got, doc)
		}
	})
}

// FuzzRepair checks that a repaired document is valid, and that nothing but
// closing brackets was added.
func FuzzRepair(f *testing.F) {
	f.Add("```json\n{\"a\":[1,2,],}\n```")
	f.Add(`{"a":"\u00e9\\", "b":[[[`)
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := repair(in, anyDocument)
		if !ok {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%q became %q, which is no JSON", in, got)
		}
		if json.Valid([]byte(in)) && string(got) != in {
			t.Fatalf("valid %q became %q", in, got)
		}
		rest := strings.TrimRight(string(got), "]}")
		for _, c := range []byte(rest) {
			at := strings.IndexByte(in, c)
			if at < 0 {
				t.Fatalf("%q in %q is not in %q", c, got, in)
			}
			in = in[at+1:]
		}
	})
}
