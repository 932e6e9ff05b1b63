package cli

import "time"

// stopSettings say how a worker ends.
type stopSettings struct {
	StopGrace string `env:"STOP_GRACE" default:"20s" help:"How long running jobs may go on after the process was told to stop; then they go back to the queue. Whoever kills it should wait ten seconds longer."`
}

func (s stopSettings) check(p *problems) time.Duration {
	d := p.duration("STOP_GRACE", s.StopGrace)
	if d > 24*time.Hour {
		p.add("STOP_GRACE", "want a day at most, got %q", s.StopGrace)
	}
	return d
}

// drainSettings say how an API ends.
type drainSettings struct {
	DrainPause string `env:"DRAIN_PAUSE" default:"0s" help:"How long requests are still taken after the process was told to stop, with /readyz at 503: what a balancer needs to notice. Then they have 15s to end."`
}

func (s drainSettings) check(p *problems) time.Duration {
	if s.DrainPause == "0" || s.DrainPause == "0s" {
		return 0
	}
	d := p.duration("DRAIN_PAUSE", s.DrainPause)
	if d > 10*time.Minute {
		p.add("DRAIN_PAUSE", "want ten minutes at most, got %q", s.DrainPause)
	}
	return d
}
