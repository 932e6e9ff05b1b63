package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// A LeaderLock is an advisory lock that one process at a time holds.
type LeaderLock struct {
	Name, What string
	Lock       int64
}

type workerListOutput struct{ Body operator.WorkerList }

// listWorkers shows the processes that live, and what each does alone.
func (s *Server) listWorkers(ctx context.Context, _ *noInput) (*workerListOutput, error) {
	now := time.Now().UTC()
	var (
		workers        []store.WorkerProcess
		running        []store.RunningJob
		river, sampler *store.Lead
	)
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		if workers, err = store.LivingWorkers(ctx, tx); err != nil {
			return err
		}
		if running, err = store.RunningJobs(ctx, tx); err != nil {
			return err
		}
		if river, err = store.RiverLeader(ctx, tx); err != nil {
			return err
		}
		sampler, err = store.Sampler(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	locks := make([]int64, len(s.LeaderLocks))
	for i, l := range s.LeaderLocks {
		locks[i] = l.Lock
	}
	holders, err := inTime(ctx, func(ctx context.Context) (map[int64]store.Lead, error) { return s.DB.LockHolders(ctx, locks) })
	if err != nil {
		return nil, err
	}
	v := operator.WorkerList{Leaders: []operator.Leader{}, GeneratedAt: now}
	var counted []countedProcess
	counted, v.Partial = s.countedNow(ctx)
	list := s.processesNow(workers, counted, running, now)
	lead := func(name, what string, l *store.Lead) {
		v.Leaders = append(v.Leaders, leaderView(name, what, l, list))
	}
	lead("river", "Promotes what was put off, and clears River's rows away", river)
	for _, l := range s.LeaderLocks {
		if holder, held := holders[l.Lock]; held {
			lead(l.Name, l.What, &holder)
		} else {
			lead(l.Name, l.What, nil)
		}
	}
	lead("sampler", "Measures the queues for charts; who did so last", sampler)
	v.Hosts, v.Versions = hostsOf(list)
	return &workerListOutput{v}, nil
}

// countedNow are the processes that count, and why some may not be among them.
func (s *Server) countedNow(ctx context.Context) ([]countedProcess, *string) {
	if s.Figures.Hour == nil {
		return nil, orNull(notCounted)
	}
	h := s.Figures.Hour(ctx)
	switch {
	case h.Scope == minutes.Alone && s.Figures.Shared:
		return countedProcesses(h.Processes), orNull("Redis can't be asked, so of processes that are no workers there is this one alone")
	case h.Scope == minutes.Alone:
		return countedProcesses(h.Processes), orNull("no Redis is configured (REDIS_URL), so of processes that are no workers there is this one alone")
	}
	return countedProcesses(h.Processes), nil
}

// processesNow are workers, by their heartbeats, and others, by what they leave in Redis.
func (s *Server) processesNow(workers []store.WorkerProcess, counted []countedProcess, running []store.RunningJob, now time.Time) []operator.Process {
	list := make([]operator.Process, 0, len(workers)+len(counted))
	for _, w := range workers {
		p := s.workerView(w, running, now)
		if i := slices.IndexFunc(counted, func(c countedProcess) bool { return sameProcess(w, c) }); i >= 0 {
			measured(&p, counted[i])
		}
		list = append(list, p)
	}
	for _, c := range counted {
		if c.Role == "worker" {
			continue // those that have a heartbeat are there; others begin or end just now
		}
		p := operator.Process{ID: c.ID, Role: c.Role, Host: c.Host, Version: c.Version, OtherVersion: c.Version != s.Version,
			StartedAt: c.StartedAt.UTC(), HeardAt: c.At.UTC(), SilentMS: max(0, now.Sub(c.At).Milliseconds()),
			Queues: map[string]int{}, Running: []operator.RunningJob{}, Leads: []string{}}
		measured(&p, c)
		list = append(list, p)
	}
	return list
}

// sameProcess says whether a worker is one that counts. The two know nothing of each other's names: they are of a host,
// and began together.
func sameProcess(w store.WorkerProcess, c countedProcess) bool {
	return c.Role == "worker" && c.Host == w.Host && w.StartedAt.Sub(c.StartedAt).Abs() < newcomer
}

func measured(p *operator.Process, c countedProcess) {
	if c.Machine.Resident > 0 {
		p.ResidentBytes = &c.Machine.Resident
	}
	if c.Machine.Memory != nil {
		p.MemoryPercent = &c.Machine.Memory.Percent
	}
	if c.Machine.CPU != nil {
		p.CPUPercent = c.Machine.CPU.Percent
	}
}

// mostRunning is how many jobs of a process are shown.
const mostRunning = 100

func (s *Server) workerView(w store.WorkerProcess, running []store.RunningJob, now time.Time) operator.Process {
	p := operator.Process{ID: w.ID, Role: "worker", Host: w.Host, PID: &w.PID, Version: w.Version, OtherVersion: w.Version != s.Version,
		StartedAt: w.StartedAt.UTC(), HeardAt: w.HeartbeatAt.UTC(), SilentMS: max(0, now.Sub(w.HeartbeatAt).Milliseconds()),
		Queues: w.Places(), Kinds: w.Kinds, Running: []operator.RunningJob{}, Leads: []string{}}
	if p.Queues == nil {
		p.Queues = map[string]int{}
	}
	for _, j := range running {
		if j.Worker == w.ID && len(p.Running) < mostRunning {
			p.Running = append(p.Running, operator.RunningJob{RiverJobID: j.RiverJobID, JobID: j.JobID, Kind: j.Kind, Queue: j.Queue,
				Attempt: j.Attempt, Since: j.Since.UTC()})
		}
	}
	return p
}

// leaderView says who leads, and tells that process's line. A session's name holds the instance of its process, which is
// the end of the id by which that counts.
func leaderView(name, what string, l *store.Lead, list []operator.Process) operator.Leader {
	v := operator.Leader{Name: name, What: what}
	if l == nil {
		return v
	}
	since := l.Since.UTC()
	v.Process, v.Since, v.Until = &l.Process, &since, l.Until
	for i := range list {
		if list[i].ID == l.Process || strings.HasSuffix(list[i].ID, "-"+l.Process) {
			v.Process = &list[i].ID
			list[i].Leads = append(list[i].Leads, name)
			break
		}
	}
	return v
}

// hostsOf groups processes by the machine, and lists the versions that run.
func hostsOf(list []operator.Process) ([]operator.Host, []string) {
	slices.SortFunc(list, func(a, b operator.Process) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Role, b.Role), a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	hosts, versions := []operator.Host{}, make(map[string]bool)
	for _, p := range list {
		if p.Version != "" {
			versions[p.Version] = true
		}
		if len(hosts) == 0 || hosts[len(hosts)-1].Name != p.Host {
			hosts = append(hosts, operator.Host{Name: p.Host})
		}
		h := &hosts[len(hosts)-1]
		h.Processes = append(h.Processes, p)
	}
	return hosts, append([]string{}, slices.Sorted(maps.Keys(versions))...)
}
