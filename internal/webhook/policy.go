package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Policy says where deliveries may go. The zero value allows https to public addresses alone.
//
// URLs are checked when they are stored and before each attempt, in words for whoever wants them; that stops mistakes. What
// stops attackers is the check of the address that a connection is really made to, whatever the name said before.
type Policy struct {
	// AllowHTTP lets deliveries go unencrypted.
	AllowHTTP bool
	// Networks may be reached though they aren't public. What is in them is named as it likes.
	Networks []netip.Prefix
	// Own are receivers that this process itself runs: they may be reached, over http too.
	Own []netip.AddrPort
}

const (
	maxURL  = 2048 // bytes, as the schema has it
	maxHost = 253  // RFC 1035, section 2.3.4
)

// CheckURL gives the normal form of a URL that deliveries may go to: scheme and host in lower case, neither the scheme's usual
// port nor a dot at the host's end, and a path. Two URLs for the same are the same then as far as anybody can tell.
// The error says what the URL must be, for the client.
func (p Policy) CheckURL(raw string) (normal string, err error) {
	if raw == "" || len(raw) > maxURL {
		return "", fmt.Errorf("must have 1 to %d characters", maxURL)
	}
	if err := checkCharacters(raw); err != nil {
		return "", err
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "https" && scheme != "http" {
		return "", errors.New("must begin with https://")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Contains(authority, "@") {
		return "", errors.New("must not hold a user or password: put what the receiver asks for into headers")
	}
	host, port, err := splitPort(authority, scheme)
	if err != nil {
		return "", err
	}
	host, addr, err := p.checkHost(host)
	if err != nil {
		return "", err
	}
	if err := p.checkEnd(scheme, addr, port); err != nil {
		return "", err
	}
	return join(scheme, host, port, tail)
}

// checkEnd checks what the scheme, the port and an address that stands in the URL come to.
func (p Policy) checkEnd(scheme string, addr netip.Addr, port uint16) error {
	end := netip.AddrPortFrom(addr, port)
	if addr.IsValid() {
		if slices.Contains(p.Own, end) {
			return nil
		}
		if p.CheckAddr(end) != nil && badPorts[port] == "" {
			return errors.New("must not name an address that isn't public")
		}
	}
	if scheme != "https" && !p.AllowHTTP {
		return errors.New("must begin with https://")
	}
	if what := badPorts[port]; what != "" {
		return fmt.Errorf("must have another port: %d is that of %s", port, what)
	}
	return nil
}

// checkCharacters refuses what parsers of URLs disagree about.
func checkCharacters(raw string) error {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c >= 0x80:
			return errors.New("must be ASCII: write the host in its xn-- form, and the rest in percent encoding")
		case c <= ' ' || c == 0x7f:
			return errors.New("must not hold spaces, line breaks or control characters")
		case c == '\\':
			return errors.New(`must not hold a \`)
		case c == '#':
			return errors.New("must not have a fragment (#…): no receiver is told of it")
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			return fmt.Errorf("must have %%%02X in place of %c", c, c)
		case c == '%' && (i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2])):
			return errors.New("must have two hexadecimal digits after each %")
		}
	}
	return nil
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// splitPort parts host and port; the scheme's where none is named.
func splitPort(authority, scheme string) (host string, port uint16, err error) {
	host = authority
	digits, named := "", false
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, digits, named = authority[:i], authority[i+1:], true
	}
	if !named || digits == "" {
		if scheme == "http" {
			return host, 80, nil
		}
		return host, 443, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || len(digits) > 5 || digits[0] == '+' {
		return "", 0, errors.New("must have a port from 1 to 65535, if any")
	}
	return host, uint16(n), nil
}

// checkHost gives a host's normal form, and its address if it is one.
func (p Policy) checkHost(host string) (normal string, addr netip.Addr, err error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", addr, errors.New("must have an IPv6 address without a zone between [ and ]")
		}
		return "[" + addr.String() + "]", addr, nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || len(host) > maxHost {
		return "", addr, fmt.Errorf("must name a host of at most %d characters", maxHost)
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", addr, errors.New("must name a host such as hooks.example.com: letters, digits and hyphens between dots")
		}
	}
	if endsInNumber(labels[len(labels)-1]) {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() {
			return "", addr, errors.New("must write an IPv4 address as four decimal numbers")
		}
		return addr.String(), addr, nil
	}
	if len(p.Networks) == 0 && isInside(labels) {
		return "", addr, errors.New("must name a host that the whole Internet knows, such as hooks.example.com")
	}
	return host, addr, nil
}

// isLabel takes the underscore too, which some hosts have.
func isLabel(label string) bool {
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
}

// endsInNumber is the test by which browsers and many resolvers take a host for an IPv4 address, in decimal, octal or hexadecimal
// (WHATWG URL, "ends in a number").
func endsInNumber(last string) bool {
	digits, hex := strings.CutPrefix(last, "0x")
	for i := range len(digits) {
		if c := digits[i]; !hex && (c < '0' || c > '9') || !isHex(c) {
			return false
		}
	}
	return true
}

// isInside reports names that mean something within a machine or a network only (RFC 6761, 6762, 8375; ICANN's internal).
func isInside(labels []string) bool {
	if len(labels) == 1 {
		return true
	}
	switch labels[len(labels)-1] {
	case "localhost", "local", "internal", "localdomain":
		return true
	case "arpa":
		return labels[len(labels)-2] == "home"
	}
	return false
}

// join writes the normal form, which the standard library must read as we did.
func join(scheme, host string, port uint16, tail string) (string, error) {
	if scheme == "https" && port != 443 || scheme == "http" && port != 80 {
		host += ":" + strconv.Itoa(int(port))
	}
	if !strings.HasPrefix(tail, "/") {
		tail = "/" + tail
	}
	normal := scheme + "://" + host + tail
	u, err := url.Parse(normal)
	if err != nil || u.Scheme != scheme || u.Host != host || u.User != nil || len(normal) > maxURL {
		return "", errors.New("must be a URL such as https://hooks.example.com/payaid")
	}
	return normal, nil
}

// Origin is scheme, host and port of a URL in normal form, such as https://example.com: whom it belongs to.
func Origin(normal string) string {
	scheme, rest, _ := strings.Cut(normal, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}
