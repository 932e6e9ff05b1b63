package machine

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// CPU is how much of the processors is used by the process together with those that share its limit, over the last
// minute, or since the process began.
type CPU struct {
	Source Source  `json:"source"`
	Cores  float64 `json:"cores"` // how many they may use at a time
	// Percent of these is used; nil: it is too early to tell.
	Percent *float64 `json:"percent"`
	// Throttled is in how many of a hundred periods of the limit they were held back, in the same time; nil: there is
	// no limit.
	Throttled *float64 `json:"throttled_percent"`
}

const (
	cpuWindow = time.Minute
	// Over less than this a single burst would look like a load.
	cpuShortest = 500 * time.Millisecond
	// Sampled more often than this nothing is learned.
	cpuEvery = time.Second
	// userHZ is what the kernel counts the host's time in (time(7)).
	userHZ = 100
)

// A sample is what the kernel has counted so far.
type sample struct {
	at                 time.Time
	source             Source
	dir                string // of the group
	cores              float64
	busy, spent        time.Duration // spent is what there was, used or not; of the host alone
	periods, throttled int64
}

func (m *Machine) cpu(now time.Time) (CPU, error) {
	last, err := m.observe(now)
	if err != nil {
		return CPU{}, err
	}
	out := CPU{Source: last.source, Cores: last.cores}
	m.mu.Lock()
	first := m.samples[0]
	m.mu.Unlock()
	elapsed := last.at.Sub(first.at)
	if elapsed < cpuShortest {
		return out, nil
	}
	there := time.Duration(float64(elapsed) * last.cores)
	if last.source == Host {
		there = last.spent - first.spent
	}
	used := percent(float64(last.busy-first.busy), float64(there))
	out.Percent = &used
	if last.source != Host {
		held := percent(float64(last.throttled-first.throttled), float64(last.periods-first.periods))
		out.Throttled = &held
	}
	return out, nil
}

// observe samples, and keeps what the next figures are measured against.
func (m *Machine) observe(now time.Time) (sample, error) {
	s, err := m.sample(now)
	if err != nil {
		return s, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.samples); n > 0 {
		// Another limit, and counts that began anew, can't be compared with those before.
		if last := m.samples[n-1]; last.source != s.source || last.dir != s.dir || last.busy > s.busy || last.cores != s.cores {
			m.samples = nil
		}
	}
	if n := len(m.samples); n == 0 || now.Sub(m.samples[n-1].at) >= cpuEvery {
		m.samples = append(m.samples, s)
	}
	for len(m.samples) > 1 && now.Sub(m.samples[1].at) >= cpuWindow {
		m.samples = m.samples[1:]
	}
	return s, nil
}

// sample reads the group with the tightest limit, or the host.
func (m *Machine) sample(now time.Time) (sample, error) {
	host, err := m.hostSample()
	if err != nil {
		return host, err
	}
	out := host
	for _, g := range m.groups("cpu") {
		if cores, ok := g.quota(); ok && cores < out.cores {
			// Without its counts the host's would be taken for those of the limit.
			if out, err = m.groupSample(g); err != nil {
				return out, err
			}
			out.cores = cores
		}
	}
	out.at = now
	return out, nil
}

// quota is how many processors a group may use at a time; false: as many as there are.
func (g group) quota() (cores float64, limited bool) {
	var quota, period string
	if g.source == CgroupV2 {
		text, err := g.read("cpu.max")
		if err != nil {
			return 0, false
		}
		quota, period, _ = strings.Cut(text, " ")
	} else {
		quota, _ = g.read("cpu.cfs_quota_us")
		period, _ = g.read("cpu.cfs_period_us")
	}
	q, errQ := strconv.ParseFloat(quota, 64) // "max", or -1: none
	p, errP := strconv.ParseFloat(period, 64)
	if errQ != nil || errP != nil || q <= 0 || p <= 0 {
		return 0, false
	}
	return q / p, true
}

func (m *Machine) groupSample(g group) (sample, error) {
	s := sample{source: g.source, dir: g.dir}
	stat, err := g.table("cpu.stat")
	if err != nil {
		return s, err
	}
	s.periods, s.throttled = stat["nr_periods"], stat["nr_throttled"]
	if g.source == CgroupV2 {
		s.busy = time.Duration(stat["usage_usec"]) * time.Microsecond
		return s, nil
	}
	// In version 1 another controller counts; mostly it is mounted with this one, and else its groups have the same
	// names.
	ns, err := g.number("cpuacct.usage")
	if err == nil {
		s.busy = time.Duration(ns)
		return s, nil
	}
	cpu, accounts := m.groups("cpu"), m.groups("cpuacct")
	for i := range min(len(cpu), len(accounts)) {
		// From the top, as a group may be missing below in one of them.
		if cpu[len(cpu)-1-i].dir != g.dir {
			continue
		}
		ns, err := accounts[len(accounts)-1-i].number("cpuacct.usage")
		s.busy = time.Duration(ns)
		return s, err
	}
	return s, errors.New("nobody counts the processor time of the group")
}

// hostSample reads proc_stat(5). Time that a hypervisor gave to others is not idle: it could not be had.
func (m *Machine) hostSample() (sample, error) {
	s := sample{source: Host}
	data, err := m.read("/proc/stat")
	if err != nil {
		return s, err
	}
	const idle, waiting, guest = 3, 4, 8 // guests are counted in user time as well
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			s.cores++
			continue
		}
		for i, field := range fields[1:] {
			n, _ := strconv.ParseInt(field, 10, 64)
			if i >= guest {
				break
			}
			ticks := time.Duration(n) * time.Second / userHZ
			s.spent += ticks
			if i != idle && i != waiting {
				s.busy += ticks
			}
		}
	}
	if s.cores == 0 {
		return s, errors.New("/proc/stat does not say what processors there are")
	}
	return s, nil
}
