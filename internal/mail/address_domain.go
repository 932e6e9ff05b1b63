package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const maxLabel = 63 // bytes between two dots (RFC 1035, 2.3.4)

// asciiDomain is a domain in lower case, its labels of other scripts in the ASCII that the DNS and SMTP know
// (RFC 5890). Joiners, which some of those may hold, are refused: registries of India's scripts refuse them as well.
func asciiDomain(s string) (string, error) {
	s = strings.ToLower(norm.NFKC.String(s))
	labels := strings.Split(strings.ReplaceAll(s, "。", "."), ".")
	for i, label := range labels {
		var err error
		if labels[i], err = asciiLabel(label); err != nil {
			return "", err
		}
	}
	last := labels[len(labels)-1]
	if len(labels) == 1 && last != "localhost" {
		return "", errors.New("has a domain without a dot")
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", errors.New("has an IP address for its domain")
	}
	return strings.Join(labels, "."), nil
}

func asciiLabel(label string) (string, error) {
	if label == "" {
		return "", errors.New("has a domain with nothing between two dots, or at an end")
	}
	if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
		return "", errors.New("has a hyphen at an end of a part of its domain")
	}
	ascii := true
	for i, r := range label {
		switch {
		case r <= '~':
			if r != '-' && !isAlphanumeric(byte(r)) {
				return "", fmt.Errorf("has %q in its domain", r)
			}
		case !unicode.In(r, unicode.L, unicode.M, unicode.Nd) || i == 0 && unicode.Is(unicode.M, r):
			return "", fmt.Errorf("has %q (%U) in its domain, where it can't stand", r, r)
		default:
			ascii = false
		}
	}
	if !ascii {
		label = "xn--" + punycode(label)
	}
	if len(label) > maxLabel {
		return "", fmt.Errorf("has more than %d characters between two dots of its domain", maxLabel)
	}
	return label, nil
}

// punycode encodes a label that has others than ASCII (RFC 3492, 6.3): its ASCII first, then for each other character,
// from the lowest, how far the decoder counts until it inserts it.
func punycode(label string) string {
	const initialN, initialBias = 0x80, 72
	runes := []rune(label)
	var out []byte
	for _, r := range runes {
		if r < initialN {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(initialN), 0, initialBias
	for handled := basic; handled < len(runes); n++ {
		next := rune(unicode.MaxRune)
		for _, r := range runes {
			if r >= n {
				next = min(next, r)
			}
		}
		delta += int(next-n) * (handled + 1)
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r == n {
				out = appendDelta(out, delta, bias)
				bias = adapt(delta, handled+1, handled == basic)
				delta = 0
				handled++
			}
		}
		delta++
	}
	return string(out)
}

// Parameters of RFC 3492, section 5.
const (
	punyBase = 36
	punyMin  = 1 // the lowest threshold, and the highest
	punyMax  = 26
	punySkew = 38
	punyDamp = 700
)

// appendDelta writes a number as digits whose weights depend on the bias, so that the last can be told.
func appendDelta(out []byte, delta, bias int) []byte {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	for k := punyBase; ; k += punyBase {
		threshold := min(max(k-bias, punyMin), punyMax)
		if delta < threshold {
			return append(out, digits[delta])
		}
		out = append(out, digits[threshold+(delta-threshold)%(punyBase-threshold)])
		delta = (delta - threshold) / (punyBase - threshold)
	}
}

// adapt fits the bias to the size of the deltas so far.
func adapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyMin)*punyMax/2; k += punyBase {
		delta /= punyBase - punyMin
	}
	return k + (punyBase-punyMin+1)*delta/(delta+punySkew)
}
