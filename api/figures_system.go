package api

import (
	"time"

	"github.com/payaid/payaid/internal/machine"
)

// eventMetricsView is how far facts have come on their way from the outbox to the jobs that they start.
type eventMetricsView struct {
	Unpublished              *int64     `json:"unpublished" doc:"Facts that the relay has yet to publish; this, unrouted and dead end at 10000"`
	OldestUnpublishedSeconds *float64   `json:"oldest_unpublished_seconds"`
	Unrouted                 int64      `json:"unrouted" doc:"Facts whose jobs the router has yet to start, the unpublished ones among them"`
	OldestUnroutedSeconds    *float64   `json:"oldest_unrouted_seconds" doc:"null: all are routed"`
	StreamFirst              *uint64    `json:"stream_first" doc:"Sequence of the oldest event that the stream holds"`
	StreamLast               *uint64    `json:"stream_last"`
	RouterSequence           uint64     `json:"router_sequence" doc:"Where the router is in the stream; 0: it has routed nothing yet"`
	RouterMovedAt            *time.Time `json:"router_moved_at" doc:"null: it has routed nothing yet"`
	Dead                     int64      `json:"dead" doc:"Messages that could not be read, and wait for payaid events dead"`
}

func (s *Server) eventMetrics(f figures, missing *reasons) eventMetricsView {
	e := f.Events
	v := eventMetricsView{Unpublished: e.Unpublished, Unrouted: e.Unrouted, RouterSequence: e.RouterSeq, Dead: e.Dead}
	if e.Unrouted > 0 {
		v.OldestUnroutedSeconds = tenth(&e.OldestUnrouted)
	} else {
		missing.add("events.oldest_unrouted_seconds", "all facts are routed")
	}
	if !e.RouterMovedAt.IsZero() {
		at := e.RouterMovedAt.UTC()
		v.RouterMovedAt = &at
	}
	missing.unless(v.RouterMovedAt != nil, "events.router_moved_at", "the router has routed nothing yet")
	switch {
	case f.stream != nil:
		v.StreamFirst, v.StreamLast = &f.stream.First, &f.stream.Last
	case s.Figures.Stream == nil:
		missing.addAll("this process has no connection to the event stream", "events.stream_first", "events.stream_last")
	default:
		s.tellSparsely("the event stream can't be looked at", f.streamErr)
		missing.addAll("NATS can't be asked", "events.stream_first", "events.stream_last")
	}
	switch {
	case e.Unpublished == nil:
		missing.addAll("where the stream ends in the outbox can't be told", "events.unpublished", "events.oldest_unpublished_seconds")
	case *e.Unpublished > 0:
		v.OldestUnpublishedSeconds = tenth(&e.OldestUnpublished)
	default:
		missing.add("events.oldest_unpublished_seconds", "all facts are published")
	}
	return v
}

// systemView is how full the machines are, in per cent: the fullest of those that processes have told of lately.
type systemView struct {
	DiskUsage   *float64   `json:"diskUsage" doc:"The fullest of the volumes below"`
	MemoryUsage *float64   `json:"memoryUsage" doc:"Of the limit of the container; without one of the host's memory"`
	CPUUsage    *float64   `json:"cpuUsage" doc:"Of the processors that the container may use, over the last minute; without a limit of the host's"`
	Disks       []diskView `json:"disks"`
}

type diskView struct {
	Host    string   `json:"host"`
	Name    string   `json:"name" doc:"backups, data, or working_directory"`
	Path    string   `json:"path"`
	Total   int64    `json:"total" doc:"Bytes"`
	Free    int64    `json:"free"`
	Percent *float64 `json:"percent"`
	Reason  *string  `json:"reason" doc:"Why percent is null"`
}

// processView is one that counts, as it last said.
type processView struct {
	ID            string      `json:"id"`
	Role          string      `json:"role" enum:"api,relay,worker"`
	Host          string      `json:"host"`
	Version       string      `json:"version"`
	StartedAt     time.Time   `json:"started_at"`
	HeardAt       time.Time   `json:"heard_at"`
	ResidentBytes *int64      `json:"resident_bytes" doc:"Of this process alone"`
	Memory        *memoryView `json:"memory"`
	CPU           *cpuView    `json:"cpu"`
	Pools         []PoolGauge `json:"pools"`
}

type memoryView struct {
	_       struct{} `nullable:"true"`
	Source  string   `json:"source" enum:"cgroup_v1,cgroup_v2,host"`
	Limit   int64    `json:"limit" doc:"Bytes"`
	Used    int64    `json:"used" doc:"Bytes, without files that are merely cached"`
	Percent float64  `json:"percent"`
}

type cpuView struct {
	_         struct{} `nullable:"true"`
	Source    string   `json:"source" enum:"cgroup_v1,cgroup_v2,host"`
	Cores     float64  `json:"cores" doc:"How many may be used at a time"`
	Percent   *float64 `json:"percent" doc:"Of these, over the last minute; null: it is too early to tell"`
	Throttled *float64 `json:"throttled_percent" doc:"In how many of a hundred periods the limit held the container back; null: there is none"`
}

func systemOf(f figures, missing *reasons) systemView {
	v := systemView{Disks: f.disks()}
	if v.Disks == nil {
		v.Disks = []diskView{}
	}
	var why [2]string
	for _, p := range f.processes {
		if m := p.Machine.Memory; m != nil {
			v.MemoryUsage = higher(v.MemoryUsage, &m.Percent)
		}
		if c := p.Machine.CPU; c != nil {
			v.CPUUsage = higher(v.CPUUsage, c.Percent)
		}
		why[0], why[1] = p.Machine.Unmeasured["memory"], p.Machine.Unmeasured["cpu"]
	}
	for _, d := range v.Disks {
		v.DiskUsage = higher(v.DiskUsage, d.Percent)
		if d.Reason != nil {
			missing.add("system.disks."+d.Name, *d.Reason)
		}
	}
	missing.unless(v.MemoryUsage != nil, "system.memoryUsage", why[0], "no process has said how much memory it has")
	missing.unless(v.CPUUsage != nil, "system.cpuUsage", why[1], "no process has run long enough to say")
	missing.unless(v.DiskUsage != nil, "system.diskUsage", "", "no process has said of a disk that matters")
	return v
}

func higher(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func processesOf(list []countedProcess, missing *reasons) []processView {
	out := make([]processView, len(list))
	for i, p := range list {
		out[i] = processView{ID: p.ID, Role: p.Role, Host: p.Host, Version: p.Version, StartedAt: p.StartedAt.UTC(), HeardAt: p.At.UTC(),
			Pools: p.Pools}
		if p.Machine.Resident > 0 {
			out[i].ResidentBytes = &p.Machine.Resident
		}
		if m := p.Machine.Memory; m != nil {
			out[i].Memory = &memoryView{Source: string(m.Source), Limit: m.Limit, Used: m.Used, Percent: m.Percent}
		}
		if c := p.Machine.CPU; c != nil {
			out[i].CPU = &cpuView{Source: string(c.Source), Cores: c.Cores, Percent: c.Percent, Throttled: c.Throttled}
		}
		if out[i].Pools == nil {
			out[i].Pools = []PoolGauge{}
		}
		out[i].explain(p.Machine.Unmeasured, missing)
	}
	return out
}

// explain says why figures of the process are null, with the reasons that it gave itself.
func (v processView) explain(own map[string]string, missing *reasons) {
	const unsaid = "the process has not said"
	name := "processes." + v.ID
	missing.unless(v.ResidentBytes != nil, name+".resident_bytes", unsaid)
	missing.unless(v.Memory != nil, name+".memory", own["memory"], unsaid)
	missing.unless(v.CPU != nil, name+".cpu", own["cpu"], unsaid)
	if v.CPU == nil {
		return
	}
	missing.unless(v.CPU.Percent != nil, name+".cpu.percent", "the process has not run long enough to say")
	if v.CPU.Throttled == nil && v.CPU.Source == string(machine.Host) {
		missing.add(name+".cpu.throttled_percent", "no limit of processor time holds it back")
	} else {
		missing.unless(v.CPU.Throttled != nil, name+".cpu.throttled_percent", "the process has not run long enough to say")
	}
}

// reasons gathers why figures are null.
type reasons struct{ list []unmeasured }

func (r *reasons) add(figure, reason string) { r.list = append(r.list, unmeasured{figure, reason}) }

// addAll adds the one reason of several figures.
func (r *reasons) addAll(reason string, figures ...string) {
	for _, figure := range figures {
		r.add(figure, reason)
	}
}

// unless adds the first reason that there is.
func (r *reasons) unless(there bool, figure string, why ...string) {
	for _, reason := range why {
		if !there && reason != "" {
			r.add(figure, reason)
			return
		}
	}
}
