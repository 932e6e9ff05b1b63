package api

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// Figures are what the API is told of the installation beside what the database knows. Each may be nil: then what
// it is about is not measured.
type Figures struct {
	Hour   func(context.Context) minutes.Hour        // how the last hour was
	Stream func(context.Context) (StreamEnds, error) // the event stream
	Shared bool                                      // processes count together, as there is a Redis
	Queues []string                                  // that there are, whether somebody works them or not
	Schema int64                                     // the newest migration that this program knows; 0: nobody said
}

// StreamEnds are the ends of the event stream.
type StreamEnds struct {
	First, Last uint64           // sequences; 0: it is empty
	At          *events.Position // place in the outbox of the last event; nil: nobody knows
}

// ProcessGauges are what a process says of itself at a moment, as minutes.Config.Gauges gives it.
type ProcessGauges struct {
	Version string          `json:"version"`
	Machine machine.Figures `json:"machine"`
	Pools   []PoolGauge     `json:"pools"`
}

// A PoolGauge is how a process uses one of its pools of connections.
type PoolGauge struct {
	Pool  string `json:"pool" doc:"What it is for"`
	Size  int    `json:"size"`
	Most  int    `json:"most" doc:"With those for bursts"`
	InUse int    `json:"in_use"`
	Idle  int    `json:"idle"`
}

// A counted process, and what it said.
type countedProcess struct {
	minutes.Process
	ProcessGauges
}

// A worker that began so lately may not have said yet that it counts.
const newcomer = 15 * time.Second

// brokerTimeout bounds what the figures lose to a broker that is away.
const brokerTimeout = 500 * time.Millisecond

// figures are all that is measured at a moment.
type figures struct {
	store.SystemFigures
	hour      minutes.Hour
	counted   bool // somebody counts
	processes []countedProcess
	stream    *StreamEnds
	streamErr error
}

// look measures everything but models and mail.
func (s *Server) look(ctx context.Context) (figures, error) {
	var f figures
	if s.Figures.Hour != nil {
		f.hour, f.counted = s.Figures.Hour(ctx), true
		f.processes = countedProcesses(f.hour.Processes)
	}
	var published *events.Position
	if s.Figures.Stream != nil {
		asking, cancel := context.WithTimeout(ctx, brokerTimeout)
		ends, err := s.Figures.Stream(asking)
		cancel()
		if f.streamErr = err; err == nil {
			f.stream, published = &ends, ends.At
			if ends.Last == 0 {
				published = &events.Position{}
			}
		}
	}
	var err error
	f.SystemFigures, err = s.DB.SystemFigures(ctx, s.Figures.Queues, published)
	return f, err
}

// countedProcesses reads what processes said. Of one of another version what it can't read is not there.
func countedProcesses(list []minutes.Process) []countedProcess {
	out := make([]countedProcess, len(list))
	for i, p := range list {
		out[i].Process = p
		if p.Gauges != nil {
			_ = json.Unmarshal(p.Gauges, &out[i].ProcessGauges)
		}
	}
	return out
}

// disks are those of all processes, each once: processes of a host that name a folder alike mean the same.
func (f figures) disks() (list []diskView) {
	for _, p := range f.processes {
		for _, d := range p.Machine.Disks {
			v := diskView{Host: p.Host, Name: d.Name, Path: d.Path, Total: d.Total, Free: d.Free, Percent: d.Percent}
			if d.Reason != "" {
				v.Reason = &d.Reason
			}
			known := slices.ContainsFunc(list, func(o diskView) bool { return o.Host == v.Host && o.Name == v.Name && o.Path == v.Path })
			if !known {
				list = append(list, v)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b diskView) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Name, b.Name)) })
	return list
}

// why says why the figures of the last hour are not of all processes; none: they are.
func (f figures) why(shared bool) []string {
	list := []string{}
	switch {
	case !f.counted:
		return []string{"nobody counts requests, queries and jobs in this process"}
	case f.hour.Scope == minutes.Alone && shared:
		list = append(list, "Redis can't be asked, so the last hour is that of this process alone")
	case f.hour.Scope == minutes.Alone:
		list = append(list, "no Redis is configured (REDIS_URL), so the last hour is that of this process alone")
	case f.hour.Why != nil:
		return append(list, "Redis can be read and takes nothing (is its memory full?), so of the last hour of other processes there is only what they left before")
	}
	for _, p := range f.hour.Silent {
		list = append(list, p.Role+" "+p.ID+" was last heard of at "+p.At.Format(time.RFC3339)+"; what it counted after that is missing")
	}
	workers := 0
	for _, p := range f.hour.Processes {
		if p.Role == "worker" {
			workers--
		}
	}
	for _, w := range f.Workers {
		if f.Server.Blocks.At.Sub(w.StartedAt) > newcomer {
			workers++
		}
	}
	if f.hour.Scope == minutes.Everybody && workers > 0 {
		list = append(list, "there are workers whose jobs are not counted; is REDIS_URL set for all of them?")
	}
	return list
}
