package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
)

// clientIP is the address that a request comes from: of the peer, or where that is a trusted proxy, the
// last in X-Forwarded-For that isn't one. What stands further left was written by whoever likes to. A
// header that can't be read says nothing. The address is the zero one where the peer has none.
func clientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	var peer netip.Addr
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = from.Addr().Unmap().WithZone("")
	}
	given := r.Header["X-Forwarded-For"]
	if len(given) == 0 || !contains(trusted, peer) {
		return peer
	}
	client := peer
	path := strings.Split(strings.Join(given, ","), ",")
	for i := len(path) - 1; i >= 0; i-- {
		text := strings.TrimSpace(path[i])
		if text == "" {
			continue
		}
		ip, ok := forwardedAddress(text)
		if !ok {
			return peer
		}
		if client = ip; !contains(trusted, ip) {
			break
		}
	}
	return client
}

// forwardedAddress reads an address, which some proxies write with the port.
func forwardedAddress(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		var from netip.AddrPort
		from, err = netip.ParseAddrPort(text)
		ip = from.Addr()
	}
	return ip.Unmap().WithZone(""), err == nil
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// ParseNetwork reads a CIDR block such as 203.0.113.0/24, or a single address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err == nil && p.Addr().Is4In6() {
			return p, errors.New("write IPv4 networks as IPv4")
		}
		return p.Masked(), err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	ip = ip.Unmap()
	return ip.WithZone("").Prefix(ip.BitLen())
}

// ClientAddress is the address that a request comes from, for handlers that were given to Pages.
func ClientAddress(ctx context.Context) netip.Addr {
	if x := exchangeOf(ctx); x != nil {
		return x.from
	}
	return netip.Addr{}
}
