package gst

import (
	"errors"
	"fmt"
	"strings"
)

const base36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// The patterns that GSTN publishes for its offline tools: 9 is a digit, A a letter, X either, + a letter or a
// digit that is not 0, and what is in lower case stands for itself. The last character, the checksum, is
// checked on its own.
//
// India's taxpayers have their PAN in the middle, or a TAN where they only deduct tax at the source. Others
// have the year of their registration and a country or body.
var patterns = []string{
	"99AAAAA9999A+z", // a regular taxpayer, a composition dealer, a casual one
	"99AAAAA9999A+j", // j: the digits 1-9 and A-J, of the taxpayer's later numbers, deductors (D) and marketplaces (C)
	"99AAAA99999A9z", // a department of the government
	"99AAAA99999A+d", // who deducts tax at the source, by TAN
	"9999AAA99999on", // a notified body: UIN
	"9999AAA99999un", // the United Nations and embassies: UIN
	"9999AAA99999nr", // a non-resident taxable person
	"9999AAA99999os", // a foreign provider of online services
}

// CheckGSTIN says whether text can be a GST identification number, and of which state: its pattern must be one
// of those that GSTN gives out, its state must exist, and its last character must be the checksum of the
// others. It asks nobody whether it was given out. Letters are capitals. The error says what is wrong.
//
// The number of a foreign provider of online services (99…OS…) has the Centre, which is no place of supply.
func CheckGSTIN(text string) (State, error) {
	if n := len([]rune(text)); n != 15 {
		return State{}, fmt.Errorf("a GSTIN has 15 characters, not %d", n)
	}
	for i, r := range text {
		if !strings.ContainsRune(base36, r) {
			return State{}, fmt.Errorf("a GSTIN has digits and capital letters only; character %d is %q", i+1, r)
		}
	}
	if !matchesAny(text) {
		return State{}, errors.New("this is not the pattern of any GSTIN, such as 27AAPFU0939F1ZV: " +
			"the state's code, the PAN, and three more")
	}
	state, err := stateOfGSTIN(text)
	if err != nil {
		return State{}, err
	}
	if !HasChecksum(text) {
		return State{}, fmt.Errorf("the last character should be %c, or another is mistyped", checksum(text[:14]))
	}
	return state, nil
}

func stateOfGSTIN(text string) (State, error) {
	online := text[12:14] == "OS"
	switch code := text[:2]; {
	case online && code == centre:
		return Centre, nil
	case online:
		return State{}, fmt.Errorf("a foreign provider of online services has %s at the beginning, not %s", centre, code)
	default:
		state, ok := byCode[code]
		if !ok || !state.InIndia() {
			return State{}, fmt.Errorf("no state has the code %s, with which it begins", code)
		}
		return state, nil
	}
}

// HasChecksum says whether text is fifteen digits and capital letters of which the last is the checksum. That
// is less than CheckGSTIN asks for, and all that the database does.
func HasChecksum(text string) bool {
	return len(text) == 15 && strings.Trim(text, base36) == "" && text[14] == checksum(text[:14])
}

// CompleteGSTIN adds the checksum to the first fourteen characters, and checks the whole as CheckGSTIN does.
func CompleteGSTIN(fourteen string) (string, error) {
	if len(fourteen) != 14 || strings.Trim(fourteen, base36) != "" {
		return "", errors.New("a GSTIN begins with fourteen digits and capital letters")
	}
	whole := fourteen + string(checksum(fourteen))
	if _, err := CheckGSTIN(whole); err != nil {
		return "", err
	}
	return whole, nil
}

// checksum is the Luhn formula in base 36: every second digit doubled, quotient and remainder by 36 added up.
func checksum(fourteen string) byte {
	sum := 0
	for i := range len(fourteen) {
		product := strings.IndexByte(base36, fourteen[i]) * (1 + i%2)
		sum += product/36 + product%36
	}
	return base36[(36-sum%36)%36]
}

func matchesAny(text string) bool {
	for _, p := range patterns {
		if matchesPattern(p, text) {
			return true
		}
	}
	return false
}

func matchesPattern(pattern, text string) bool {
	for i := range len(pattern) {
		if !matchesCharacter(pattern[i], text[i]) {
			return false
		}
	}
	return true
}

func matchesCharacter(p, c byte) bool {
	switch p {
	case '9':
		return isDigit(c)
	case 'A':
		return !isDigit(c)
	case '+':
		return c != '0'
	case 'j':
		return c >= '1' && c <= '9' || c >= 'A' && c <= 'J'
	default:
		return c == p-'a'+'A'
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
