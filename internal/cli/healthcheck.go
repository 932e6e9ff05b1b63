package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

type healthcheckCmd struct {
	Listen        string        `env:"LISTEN" help:"Address of the HTTP API (127.0.0.1:8080 where METRICS_LISTEN isn't set either)."`
	MetricsListen string        `env:"METRICS_LISTEN" help:"Address at which a process without an API, a relay or a worker, says whether it is ready."`
	Timeout       time.Duration `default:"3s" help:"Longest wait for the answer."`
}

// Help implements kong.HelpProvider.
func (healthcheckCmd) Help() string {
	return "Run beside a process, in its environment, it needs no flag: it asks the API where there is one (LISTEN), " +
		"and otherwise what says how the relay or the worker does (METRICS_LISTEN). The status is 0 only if that is ready."
}

// address is where the process can be asked, and the setting that says so.
func (c *healthcheckCmd) address() (name, address string) {
	switch {
	case c.Listen != "":
		return "LISTEN", c.Listen
	case c.MetricsListen != "":
		return "METRICS_LISTEN", c.MetricsListen
	}
	return "LISTEN", "127.0.0.1:8080"
}

// Run asks for readiness and ends with status 0 only if the process is ready.
func (c *healthcheckCmd) Run(ctx context.Context, a *app) error {
	p := a.problems()
	name, address := c.address()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		p.add(name, "want host:port, such as 127.0.0.1:8080, got %q", address)
	}
	if err := p.err(); err != nil {
		return err
	}
	// A process that listens on every address is asked on this machine's own.
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{}} // no proxy
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	fmt.Fprintln(a.stdout, string(body))
	if response.StatusCode != http.StatusOK {
		return errors.New("not ready: " + response.Status)
	}
	return nil
}
