package cli

import (
	"net"
	"net/url"
	"strings"
)

// linkSettings are for whoever writes links into what leaves the house.
type linkSettings struct {
	PublicURL string `name:"public-url" env:"PUBLIC_URL" help:"Where the outside reaches the API, such as https://api.example.com: the links by which readers unsubscribe from mails begin with it. Without it mails have none."`
}

// linkRemedy is what an operator does about mails of streams that nobody can unsubscribe from.
const linkRemedy = "set PUBLIC_URL to where the outside reaches the API, such as https://api.example.com"

// maxPublicURL leaves room for the rest of a link on a line of a mail's header.
const maxPublicURL = 500

// check gives the address without a slash at its end, and "" for none. Mail programs follow links over https alone
// (RFC 8058, section 3.1); on this machine somebody tries the product out.
func (s linkSettings) check(p *problems) string {
	const name = "PUBLIC_URL"
	if s.PublicURL == "" {
		return ""
	}
	before := len(p.list)
	p.url(name, s.PublicURL, "https", "http")
	if len(p.list) > before {
		return ""
	}
	u, err := url.Parse(s.PublicURL)
	switch {
	case err != nil:
		p.add(name, "is not a URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		p.add(name, "want scheme, host and a path at most, such as https://api.example.com")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.add(name, "want https://: mail programs follow no other links")
	case len(s.PublicURL) > maxPublicURL || strings.ContainsFunc(s.PublicURL, outsideLinks):
		p.add(name, "want at most %d characters, without spaces, brackets, commas and what is not ASCII", maxPublicURL)
	}
	return strings.TrimRight(s.PublicURL, "/")
}

// outsideLinks reports what ends a link in a mail's header, or can't stand there.
func outsideLinks(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>,", r) }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
