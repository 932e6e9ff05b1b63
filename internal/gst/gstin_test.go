package gst

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckGSTIN(t *testing.T) {
	t.Parallel()
	// Published ones: examples of GSTN, and numbers that companies print on their invoices.
	for text, state := range map[string]string{
		"27AAPFU0939F1ZV": "27", "29AAGCB7383J1Z4": "29", "37AADCS0472N1Z1": "37", "24AAACC1206D1ZM": "24", "07AAGFF2194N1Z1": "07",
	} {
		if s, err := CheckGSTIN(text); err != nil || s.Code != state {
			t.Errorf("CheckGSTIN(%q) = %v, %v; want state %s", text, s, err, state)
		}
	}
	for fourteen, state := range map[string]string{
		"27AAPFU0939FAZ": "27", // the tenth registration of one PAN
		"06AAACH7409R1C": "06", // a marketplace
		"27MUMA12345B1D": "27", // who deducts tax
		"07DELP00123A1Z": "07", // a department
		"0717UNO00157UN": "07", // the United Nations
		"0717FRA00012ON": "07", // another body
		"2917USA00001NR": "29", // a non-resident
		"9917SGP29001OS": "99", // a foreign provider of online services
		"97AAPFU0939F1Z": "97", // out at sea
	} {
		whole, err := CompleteGSTIN(fourteen)
		if err != nil {
			t.Errorf("CompleteGSTIN(%q): %v", fourteen, err)
			continue
		}
		if s, err := CheckGSTIN(whole); err != nil || s.Code != state {
			t.Errorf("CheckGSTIN(%q) = %v, %v; want state %s", whole, s, err, state)
		}
	}
}

// TestGSTINRefusals: the reason names what is wrong.
func TestGSTINRefusals(t *testing.T) {
	t.Parallel()
	rows := []struct{ text, reason string }{
		{"", "15 characters, not 0"},
		{"27AAPFU0939F1Z", "15 characters, not 14"},
		{"27AAPFU0939F1ZVV", "15 characters, not 16"},
		{" 27AAPFU0939F1Z", `character 1 is ' '`},
		{"27aAPFU0939F1ZV", `character 3 is 'a'`},
		{"27AAPFU0939F1Zé", `character 15 is 'é'`},
		{"27AAPFU0939F1ZW", "should be V"},
		{"28AAPFU0939F1ZT", "no state has the code 28"},
		{"25AAPFU0939F1ZZ", "no state has the code 25"},
		{"39AAPFU0939F1ZQ", "no state has the code 39"},
		{"96AAPFU0939F1ZC", "no state has the code 96"},
		{"99AAPFU0939F1Z6", "no state has the code 99"},
		{"2717SGP29001OSA", "has 99 at the beginning, not 27"},
		{"27AAPFU0939F0ZX", "pattern"}, // no taxpayer's first number is 0
		{"27AAPFU0939F1KZ", "pattern"},
		{"AA27PFU0939F1ZV", "pattern"},
		{"27AA1FU0939F1ZV", "pattern"},
	}
	for _, r := range rows {
		if s, err := CheckGSTIN(r.text); err == nil || !strings.Contains(err.Error(), r.reason) || s != (State{}) {
			t.Errorf("CheckGSTIN(%q) = %v, %v; want %q", r.text, s, err, r.reason)
		}
	}
}

// TestGSTINMistyped: the checksum finds every single wrong character.
func TestGSTINMistyped(t *testing.T) {
	t.Parallel()
	const right = "27AAPFU0939F1ZV"
	for i := range right {
		for _, c := range base36 {
			wrong := right[:i] + string(c) + right[i+1:]
			if _, err := CheckGSTIN(wrong); err == nil && wrong != right {
				t.Errorf("%s passes for %s", wrong, right)
			}
		}
	}
}

// published are GSTN's own expressions, as its offline tools have them (the ends fastened).
var published = regexp.MustCompile(`^(` + strings.Join([]string{
	`[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z][Z1-9A-J][0-9A-Z]`,
	`[0-9]{2}[A-Z]{4}[0-9]{5}[A-Z][0-9]Z[0-9A-Z]`,
	`[0-9]{2}[A-Z]{4}[A-Z0-9][0-9]{4}[A-Z][1-9A-Z]D[0-9A-Z]`,
	`[0-9]{4}[A-Z]{3}[0-9]{5}[UO]N[A-Z0-9]`,
	`[0-9]{4}[A-Z]{3}[0-9]{5}NR[0-9A-Z]`,
	`99[0-9]{2}[A-Z]{3}[0-9]{5}OS[0-9A-Z]`,
}, `|`) + `)$`)

// TestGSTINPatterns: whatever looks like one of the published expressions is accepted, once its checksum is
// right and its state exists, and nothing else is.
func TestGSTINPatterns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(strings.Trim(published.String(), "^$")), rapid.StringMatching(`[0-9A-Z]{15}`)).Draw(t, "text")
		text = text[:14] + string(checksum(text[:14]))
		state, known := byCode[text[:2]]
		online := text[12:14] == "OS"
		want := published.MatchString(text) && (online && text[:2] == centre || !online && known && state.InIndia())
		if _, err := CheckGSTIN(text); (err == nil) != want {
			t.Errorf("CheckGSTIN(%q): %v", text, err)
		}
	})
}

func FuzzGSTIN(f *testing.F) {
	for _, text := range []string{"27AAPFU0939F1ZV", "27AAPFU0939F1ZW", "0717UNO00157UN0", "9917SGP29001OSK", "", "é7AAPFU0939F1Z", "27MUMA12345B1D\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := CheckGSTIN(text)
		if (err == nil) == (s == State{}) {
			t.Errorf("CheckGSTIN(%q) = %v, %v", text, s, err)
		}
		if err == nil && !HasChecksum(text) || err == nil && (s.Code != text[:2] || !published.MatchString(text)) {
			t.Errorf("CheckGSTIN(%q) = %v", text, s)
		}
		whole, err := CompleteGSTIN(text)
		if again, checked := CompleteGSTIN(text); again != whole || (checked == nil) != (err == nil) {
			t.Errorf("CompleteGSTIN(%q) = %q, then %q", text, whole, again)
		}
		if _, checked := CheckGSTIN(whole); err == nil && checked != nil {
			t.Errorf("CompleteGSTIN(%q) = %q: %v", text, whole, checked)
		}
	})
}
