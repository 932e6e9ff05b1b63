package ticket

import (
	"errors"
	"fmt"
	"strings"
)

// Bounces is the address to which what becomes of a mail is reported. Each mail to each recipient has a return path
// of its own, with a ticket behind the plus (variable envelope return paths): bounces+TICKET@example.com. The zero
// value is no address.
type Bounces struct {
	local, domain string
}

// maxBouncesLocal leaves room for a plus and a ticket in the 64 characters that RFC 5321 allows before the @.
const maxBouncesLocal = 64 - 1 - returnPathSize

// returnPathSize is the length of a ticket of ReturnPath.
const returnPathSize = ((messageSize+returnPathMAC)*8 + 4) / 5

// ParseBounces reads an address such as bounces@example.com.
func ParseBounces(s string) (Bounces, error) {
	local, domain, ok := strings.Cut(strings.ToLower(s), "@")
	switch {
	case !ok || domain == "" || strings.ContainsFunc(domain, notOfDomain) || len(domain) > 180:
		return Bounces{}, errors.New("want an address such as bounces@example.com")
	case local == "" || strings.ContainsFunc(local, notOfLocal):
		return Bounces{}, errors.New("want letters, digits, dots, - and _ before the @, as what is behind a plus there is ours")
	case len(local) > maxBouncesLocal:
		return Bounces{}, fmt.Errorf("want at most %d characters before the @", maxBouncesLocal)
	}
	return Bounces{local: local, domain: domain}, nil
}

func notOfDomain(r rune) bool { return notOfLocal(r) || r == '_' }

func notOfLocal(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
}

// IsZero says whether there is no such address.
func (b Bounces) IsZero() bool { return b.domain == "" }

// String is the address without a ticket.
func (b Bounces) String() string {
	if b.IsZero() {
		return ""
	}
	return b.local + "@" + b.domain
}

// With is the return path that carries a ticket.
func (b Bounces) With(ticket string) string { return b.local + "+" + ticket + "@" + b.domain }

// Split takes an address apart that may be one of these: the ticket in it, "" where it has none, and whether it is
// ours at all. The ticket may be forged.
func (b Bounces) Split(address string) (ticket string, ours bool) {
	at := strings.LastIndexByte(address, '@')
	if b.IsZero() || at < 0 || !strings.EqualFold(address[at+1:], b.domain) {
		return "", false
	}
	local, ticket, tagged := strings.Cut(address[:at], "+")
	if !strings.EqualFold(local, b.local) || tagged && ticket == "" {
		return "", false
	}
	return ticket, true
}
