package gst

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseState(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Maharashtra": "27", "maharashtra": "27", "  MAHARASHTRA\t": "27", "27": "27", "MH": "27", "mh": "27", "27-Maharashtra": "27",
		"Orissa": "21", "Odisha": "21", "OR": "21", "Pondicherry": "34", "Uttaranchal": "05", "UT": "05",
		"Daman & Diu": "26", "Dadra and Nagar Haveli & Daman and Diu": "26", "25": "26", "26": "26", "DNHDD": "26",
		"Jammu & Kashmir": "01", "jammu and kashmir": "01", "J&K": "01", "Tamilnadu": "33", "33-Tamil Nadu": "33",
		"Andaman & Nicobar": "35", "Telangana": "36", "TG": "36", "TS": "36", "Andhra Pradesh": "37", "28": "37",
		"Ladakh": "38", "NCT of Delhi": "07", "Delhi (NCT)": "07", "Other Territory": "97", "Other Country": "96", "96": "96",
	} {
		got, err := ParseState(text)
		if err != nil || got.Code != want {
			t.Errorf("ParseState(%q) = %v, %v; want code %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "-", "2", "39", "99", "00", "Bombay", "Maharashtr", "27-Gujarat", "2727", "MHMH", "27MH7",
		"MH-Maharashtra", "M\x00H", strings.Repeat(" ", 200) + "MH"} {
		if got, err := ParseState(text); !errors.Is(err, ErrState) {
			t.Errorf("ParseState(%q) = %v, %v; want ErrState", text, got, err)
		}
	}
}

// TestStates: the 28 states, the 8 union territories and the two stand-ins, each to be found by all its names.
func TestStates(t *testing.T) {
	t.Parallel()
	all := States()
	if len(all) != 28+8+2 {
		t.Errorf("there are %d states", len(all))
	}
	alphas := map[string]bool{}
	for i, s := range all {
		if i > 0 && all[i-1].Code >= s.Code {
			t.Errorf("%v comes after %v", s, all[i-1])
		}
		alphas[s.Alpha] = true
		for _, text := range []string{s.Code, s.Alpha, s.Name, strings.ToUpper(s.Name), s.Code + "-" + s.Name} {
			if got, err := ParseState(text); got != s || err != nil {
				t.Errorf("ParseState(%q) = %v, %v; want %v", text, got, err, s)
			}
		}
	}
	if len(alphas) != len(all) {
		t.Errorf("%d different letters for %d states", len(alphas), len(all))
	}
	for text, code := range alsoKnownAs {
		if got, err := ParseState(text); got.Code != code || err != nil {
			t.Errorf("ParseState(%q) = %v, %v; want %s: two states have the same name", text, got, err, code)
		}
	}
	all[0].Name = "changed"
	if States()[0].Name == "changed" {
		t.Error("whoever lists the states can change them")
	}
}

func TestSupplyBetween(t *testing.T) {
	t.Parallel()
	state := func(text string) State {
		s, err := ParseState(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	rows := []struct {
		seller, place string
		want          Supply
	}{
		{"27", "27", IntraState}, {"27", "24", InterState}, {"26", "Daman & Diu", IntraState},
		{"97", "97", IntraState}, {"27", "96", InterState}, {"96", "96", InterState},
	}
	for _, r := range rows {
		if got := SupplyBetween(state(r.seller), state(r.place)); got != r.want {
			t.Errorf("from %s to %s: %d, want %d", r.seller, r.place, got, r.want)
		}
	}
}

func FuzzState(f *testing.F) {
	for _, text := range []string{"Maharashtra", "27", "mh", "27-Maharashtra", "Daman & Diu", " orissa ", "", "K", "\xff27", "2é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseState(text)
		if (err == nil) == (s == State{}) {
			t.Errorf("ParseState(%q) = %v, %v", text, s, err)
		}
		if err != nil {
			return
		}
		if byCode[s.Code] != s {
			t.Errorf("ParseState(%q) = %v, which is none of them", text, s)
		}
		for _, again := range []string{" " + text + " ", strings.ToUpper(text), s.Name} {
			if utf8.RuneCountInString(again) > 90 {
				continue
			}
			if other, err := ParseState(again); other != s || err != nil {
				t.Errorf("ParseState(%q) = %v, %v; %q is %v", again, other, err, text, s)
			}
		}
	})
}
