package cli

import (
	"net"
	"strings"
	"testing"
)

func TestMetricsSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ metrics, api, fault string }{
		{"", "127.0.0.1:8080", ""},
		{"127.0.0.1:9464", "127.0.0.1:8080", ""},
		{":9464", "", ""},
		{"127.0.0.1:0", "127.0.0.1:0", ""},
		{"10.0.0.1:8080", "127.0.0.1:8080", ""},
		{"9464", "", "want host:port"},
		{"127.0.0.1:metrics", "", "want host:port"},
		{"127.0.0.1:99999", "", "want host:port"},
		{"127.0.0.1:8080", "127.0.0.1:8080", "is the address of the API"},
		{"127.0.0.1:8080", ":8080", "is the address of the API"},
		{"0.0.0.0:8080", "10.0.0.1:8080", "is the address of the API"},
		{"[::]:8080", "127.0.0.1:8080", "is the address of the API"},
		{"localhost:8080", "127.0.0.1:8080", "is the address of the API"},
	} {
		var p problems
		metricsSettings{MetricsListen: c.metrics}.check(&p, c.api)
		got := strings.Join(p.list, "\n")
		if (c.fault == "") != (got == "") || !strings.Contains(got, c.fault) {
			t.Errorf("metrics at %q, API at %q: got %q, want %q", c.metrics, c.api, got, c.fault)
		}
		if c.fault != "" && !strings.HasPrefix(got, "METRICS_LISTEN: ") {
			t.Errorf("%q doesn't name the setting", got)
		}
	}
}

func TestMetricsPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := listenForMetrics(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "METRICS_LISTEN") {
		t.Errorf("got %v", err)
	}
}
