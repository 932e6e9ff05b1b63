package webhook

import (
	"errors"
	"net/netip"
	"slices"
)

// errNotPublic doesn't name the address: who may only guess names of our network isn't told what they resolve to.
var errNotPublic = errors.New("the host's address isn't public")

// errPort is about an address that some other service listens to.
var errPort = errors.New("the port is that of another service")

// CheckAddr reports why no connection may be made to an address. It takes those of IPv6 that carry one of IPv4 for what
// they carry.
func (p Policy) CheckAddr(a netip.AddrPort) error {
	addr := a.Addr().Unmap()
	if slices.Contains(p.Own, netip.AddrPortFrom(addr, a.Port())) {
		return nil
	}
	if badPorts[a.Port()] != "" {
		return errPort
	}
	if !p.reaches(addr) {
		return errNotPublic
	}
	return nil
}

// reaches reports whether an address is public or listed.
func (p Policy) reaches(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	if within(p.Networks, addr) {
		return true
	}
	if addr.Is4() {
		return !within(special4, addr)
	}
	if carried, ok := carriedBy(addr); ok {
		return p.reaches(carried)
	}
	return global6.Contains(addr) && !within(special6, addr)
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// carriedBy gives the IPv4 address to which a translator or a tunnel may take what goes to an IPv6 address: NAT64 (RFC 6052,
// section 2.2), 6to4 (RFC 3056, section 2) and ISATAP (RFC 5214, section 6.1).
func carriedBy(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case global6.Contains(addr) && !within(special6, addr) && b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	// global6 is all that was ever given out for hosts of the Internet.
	global6 = netip.MustParsePrefix("2000::/3")
)

// special4 and special6 are what is not the Internet at large: IANA's registries of special-purpose addresses, and services of
// clouds for their own machines that live at public addresses.
var (
	special4 = prefixes(
		"0.0.0.0/8",        // this network; Linux takes 0.0.0.0 for itself
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // behind carriers' translators; Alibaba's metadata
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's platform, from within each of its machines
		"169.254.0.0/16",   // link-local; metadata of most clouds
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments; Oracle's metadata
		"192.0.2.0/24",     // documentation
		"192.31.196.0/24",  // AS112
		"192.52.193.0/24",  // AMT
		"192.88.99.0/24",   // relays of 6to4
		"192.168.0.0/16",   // private
		"192.175.48.0/24",  // AS112
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/3",      // multicast, reserved, broadcast
	)
	special6 = prefixes(
		"2001::/23",         // protocol assignments: Teredo, ORCHID, benchmarks
		"2001:db8::/32",     // documentation
		"2620:4f:8000::/48", // AS112
		"3fff::/20",         // documentation
	)
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, one := range list {
		out[i] = netip.MustParsePrefix(one)
	}
	return out
}
