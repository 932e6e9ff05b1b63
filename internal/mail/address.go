package mail

import (
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"unicode/utf8"
)

const (
	maxAddress = 254 // bytes: what fits between the brackets of SMTP's commands (RFC 5321, 4.5.3.1.3)
	maxLocal   = 64
	maxName    = 255 // characters
)

// ParseAddress reads what may stand where a mail goes: "asha@example.in" or "Asha Rao <asha@example.in>", one address
// alone. The name may have any script, and stands between quotes if it has <, >, @ or a quote itself.
//
// The Address of what it gives is as SMTP has it: its domain lower-case and in ASCII, the local part as it was given,
// between quotes where it needs them (a..b@example.in). Nothing in it ends a command or begins a parameter: no space,
// no bracket, no control character. It refuses what a server wouldn't take or deliver: comments, groups, routes, local
// parts that aren't ASCII, domains without a dot ("localhost" aside) and IP addresses for domains.
//
// The error says what is wrong with the address, without naming it.
func ParseAddress(s string) (mail.Address, error) {
	s = strings.TrimSpace(s)
	if fault := lineFault(s); fault != "" {
		return mail.Address{}, errors.New(fault)
	}
	name, address := "", s
	if strings.HasSuffix(s, ">") {
		open := strings.LastIndexByte(s, '<')
		if open < 0 {
			return mail.Address{}, errors.New("has a > without a <")
		}
		var err error
		if name, err = parseName(strings.TrimSpace(s[:open])); err != nil {
			return mail.Address{}, err
		}
		address = s[open+1 : len(s)-1]
	}
	address, err := canonical(address)
	if err != nil {
		return mail.Address{}, err
	}
	return mail.Address{Name: name, Address: address}, nil
}

// parseName also reads encoded words, as they come with addresses that were copied from a mail's source.
func parseName(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		s = s[1:]
		var ok bool
		if s, ok = unquote(s); !ok {
			return "", errors.New("has a name with a quote that doesn't end, or ends too early")
		}
	} else {
		if strings.ContainsAny(s, `<>@"`) {
			return "", errors.New(`has a name with <, >, @ or a quote; write it as "name" <address>, one address in each place`)
		}
		if decoded, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
			s = decoded
		}
	}
	if fault := lineFault(s); fault != "" {
		return "", errors.New("has a name that " + fault)
	}
	if utf8.RuneCountInString(s) > maxName {
		return "", fmt.Errorf("has a name of more than %d characters", maxName)
	}
	return spaces(s), nil
}

// unquote reads the rest of a quoted string, which must be all of s.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// canonical is an address as SMTP has it.
func canonical(s string) (string, error) {
	if len(s) > 4*maxAddress {
		// A domain may shrink when it becomes ASCII, though not by that much.
		return "", fmt.Errorf("is longer than %d characters", maxAddress)
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", errors.New("has no @")
	}
	local, err := localPart(s[:at])
	if err != nil {
		return "", err
	}
	domain, err := asciiDomain(s[at+1:])
	if err != nil {
		return "", err
	}
	if s = local + "@" + domain; len(s) > maxAddress {
		return "", fmt.Errorf("is longer than %d characters", maxAddress)
	}
	return s, nil
}

func localPart(s string) (string, error) {
	quoted := strings.HasPrefix(s, `"`) && strings.HasSuffix(s, `"`) && len(s) > 2
	if quoted {
		s = s[1 : len(s)-1]
	}
	if s == "" {
		return "", errors.New("has nothing before the @")
	}
	for _, r := range s {
		switch {
		case r > '~':
			return "", errors.New("isn't ASCII before the @, which few servers take")
		case r <= ' ' || strings.ContainsRune(`<>@"\`, r):
			return "", fmt.Errorf("has %q before the @", r)
		}
	}
	if !isDotAtom(s) {
		if !quoted {
			return "", errors.New("has a character or a dot before the @ that can't stand there")
		}
		s = `"` + s + `"`
	}
	if len(s) > maxLocal {
		return "", fmt.Errorf("has more than %d characters before the @", maxLocal)
	}
	return s, nil
}

// isDotAtom says whether a local part needs no quotes (RFC 5322, 3.2.3).
func isDotAtom(s string) bool {
	return !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..") &&
		!strings.ContainsAny(s, "()[]:;,")
}

// domainOf is the domain of a canonical address.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
