package cli

import (
	"net"
	"strconv"
)

// metricsSettings say where Prometheus may ask.
type metricsSettings struct {
	MetricsListen string `env:"METRICS_LISTEN" help:"Address, host:port, at which Prometheus reads this process's metrics, with /livez and /readyz beside them and nothing else. It asks nobody for a key: keep it within your network. None unless set."`
}

// check gives "" for nowhere. listen is the address of the API, "" in a process without one: strangers reach that,
// so the metrics are never there.
func (s metricsSettings) check(p *problems, listen string) string {
	if s.MetricsListen == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(s.MetricsListen)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		p.add("METRICS_LISTEN", "want host:port, such as 127.0.0.1:9464, got %q", s.MetricsListen)
		return ""
	}
	apiHost, apiPort, err := net.SplitHostPort(listen)
	if err == nil && n != 0 && apiPort == port && sameHost(host, apiHost) {
		p.add("METRICS_LISTEN", "is the address of the API (LISTEN), which strangers reach: give the metrics another port")
	}
	return s.MetricsListen
}

// sameHost reports whether two hosts that are listened at may have an address in common.
func sameHost(a, b string) bool {
	everywhere := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "" || ip != nil && ip.IsUnspecified()
	}
	if everywhere(a) || everywhere(b) || a == b {
		return true
	}
	return isLoopback(a) && isLoopback(b)
}
