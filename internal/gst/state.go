package gst

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A State is a state or union territory of India, or one of GST's two stand-ins for places that are in none.
type State struct {
	Code  string // GST's two digits, those that a GSTIN begins with: "27"
	Alpha string // two letters, as on number plates and in ISO 3166-2: "MH"
	Name  string // "Maharashtra"
}

// ErrState is what ParseState answers to anything that it doesn't understand.
var ErrState = errors.New(
	`must be a state or union territory of India: its name ("Maharashtra"), GST's code ("27") or its letters ("MH")`)

// Codes that are no state's. Goods and services for abroad have their place of supply in Other Country, and
// nobody is registered there; Other Territory is the sea beyond the states, where some are. Foreign
// providers of online services are registered with the centre, which is nobody's place of supply.
const (
	otherCountry   = "96"
	otherTerritory = "97"
	centre         = "99"
)

// Centre stands for no state: with it are registered those who provide services online from abroad.
var Centre = State{Code: centre, Name: "Centre Jurisdiction"}

var states = []State{
	{"01", "JK", "Jammu and Kashmir"},
	{"02", "HP", "Himachal Pradesh"},
	{"03", "PB", "Punjab"},
	{"04", "CH", "Chandigarh"},
	{"05", "UK", "Uttarakhand"},
	{"06", "HR", "Haryana"},
	{"07", "DL", "Delhi"},
	{"08", "RJ", "Rajasthan"},
	{"09", "UP", "Uttar Pradesh"},
	{"10", "BR", "Bihar"},
	{"11", "SK", "Sikkim"},
	{"12", "AR", "Arunachal Pradesh"},
	{"13", "NL", "Nagaland"},
	{"14", "MN", "Manipur"},
	{"15", "MZ", "Mizoram"},
	{"16", "TR", "Tripura"},
	{"17", "ML", "Meghalaya"},
	{"18", "AS", "Assam"},
	{"19", "WB", "West Bengal"},
	{"20", "JH", "Jharkhand"},
	{"21", "OD", "Odisha"},
	{"22", "CG", "Chhattisgarh"},
	{"23", "MP", "Madhya Pradesh"},
	{"24", "GJ", "Gujarat"},
	{"26", "DH", "Dadra and Nagar Haveli and Daman and Diu"},
	{"27", "MH", "Maharashtra"},
	{"29", "KA", "Karnataka"},
	{"30", "GA", "Goa"},
	{"31", "LD", "Lakshadweep"},
	{"32", "KL", "Kerala"},
	{"33", "TN", "Tamil Nadu"},
	{"34", "PY", "Puducherry"},
	{"35", "AN", "Andaman and Nicobar Islands"},
	{"36", "TS", "Telangana"},
	{"37", "AP", "Andhra Pradesh"},
	{"38", "LA", "Ladakh"},
	{otherCountry, "OC", "Other Country"},
	{otherTerritory, "OT", "Other Territory"},
}

// Other ways to say it: former names, common spellings, letters of older lists, and two codes that went with
// their states (25 into 26 in 2020; 28 became 37 when Telangana parted).
var alsoKnownAs = map[string]string{
	"J and K":     "01",
	"Uttaranchal": "05", "UA": "05", "UT": "05",
	"New Delhi": "07", "NCT of Delhi": "07", "Delhi NCT": "07", "National Capital Territory of Delhi": "07",
	"Arunachal": "12",
	"Orissa":    "21", "OR": "21",
	"Chattisgarh": "22", "CT": "22",
	"Dadra and Nagar Haveli": "26", "Daman and Diu": "26", "DNHDD": "26", "DN": "26", "DD": "26", "25": "26",
	"Lakshadweep Islands": "31",
	"Pondicherry":         "34",
	"Andaman and Nicobar": "35",
	"Telengana":           "36", "TG": "36",
	"28":              "37",
	"Foreign Country": otherCountry,
}

var byCode, byText = index()

func index() (byCode, byText map[string]State) {
	byCode, byText = make(map[string]State), make(map[string]State)
	for _, s := range states {
		byCode[s.Code] = s
		for _, text := range []string{s.Code, s.Alpha, s.Name} {
			byText[fold(text)] = s
		}
	}
	for text, code := range alsoKnownAs {
		byText[fold(text)] = byCode[code]
	}
	return byCode, byText
}

// States lists them all in the order of their codes, the two stand-ins last.
func States() []State { return slices.Clone(states) }

// ParseState understands a state's name in any case ("Tamil Nadu", "tamilnadu", "Orissa", "Daman & Diu"), GST's
// code, the two letters, and code and name together as GST's returns write it ("33-Tamil Nadu"). Spaces around
// it don't matter. Anything else is ErrState.
func ParseState(text string) (State, error) {
	if len(text) > 100 {
		return State{}, ErrState
	}
	folded := fold(text)
	if s, ok := byText[folded]; ok {
		return s, nil
	}
	if len(folded) > 2 {
		code, name := byText[folded[:2]], byText[folded[2:]]
		if isDigit(folded[0]) && !isDigit(folded[2]) && code == name && code != (State{}) {
			return code, nil
		}
	}
	return State{}, ErrState
}

// fold brings the spellings of a name together: lower case, "&" as "and", and none of what stands between words.
func fold(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			b.WriteString("and")
		case r < utf8.RuneSelf && strings.ContainsRune(" \t.,-()", r):
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// InIndia tells the places that can register and sell from the one that only buys: Other Country.
func (s State) InIndia() bool { return s.Code != otherCountry }

// A Supply is which side of a state border a sale is on, which decides who gets its tax.
type Supply uint8

const (
	// IntraState is a sale within one state: half of the tax is the centre's (CGST), half the state's (SGST).
	IntraState Supply = iota
	// InterState is a sale across a border: all of the tax is IGST.
	InterState
)

// SupplyBetween compares the state of the one who sells with the place of supply (sections 7 and 8 of the IGST
// Act). A sale to Other Country always crosses a border.
func SupplyBetween(seller, place State) Supply {
	if seller.Code == place.Code && place.InIndia() {
		return IntraState
	}
	return InterState
}
