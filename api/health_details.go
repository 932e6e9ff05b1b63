package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// healthDetail is one thing that an operator looks at. None of them makes the service unready: without a worker, a
// model or a mail server requests are answered as before.
type healthDetail struct {
	Name   string `json:"name"`
	State  string `json:"state" enum:"ok,degraded,unknown" doc:"degraded: someone should look; unknown: it can't be measured"`
	Detail string `json:"detail"`
}

const (
	stateOK       = "ok"
	stateDegraded = "degraded"
	stateUnknown  = "unknown"
)

// What is above these, or older, someone should look at.
const (
	connectionsMost = 80.0 // per cent
	memoryMost      = 95.0
	diskMost        = 90.0
	factsOldest     = time.Minute
	jobsOldest      = 15 * time.Minute
	backupOldest    = 26 * time.Hour // daily, and a slow one
	verifiedOldest  = 8 * 24 * time.Hour
)

// details looks at all that an operator wants to know besides. Where the database can't be asked, its check says why.
func (s *Server) details(ctx context.Context) []healthDetail {
	f, err := s.look(ctx)
	if err != nil {
		return []healthDetail{{"database", stateUnknown, "its figures can't be read: " + err.Error()}}
	}
	now := f.Server.Blocks.At
	list := []healthDetail{databaseDetail(f.Server), connectionsDetail(f.Server)}
	list = append(list, s.schemaDetails(ctx)...)
	list = append(list, s.eventDetails(f)...)
	list = append(list, s.queueDetails(f)...)
	list = append(list, backupDetails(f.Backups, f.Events.BegunAt, now)...)
	list = append(list, webhookDetail(f.Webhooks))
	list = append(list, providerDetails(f.Workers)...)
	list = append(list, machineDetails(f)...)
	return append(list, s.countingDetail(f))
}

// judged says that something is so, and that someone should look at it unless it is well.
func judged(name string, well verdict, format string, args ...any) healthDetail {
	return healthDetail{name, string(well), fmt.Sprintf(format, args...)}
}

// A verdict is ok or degraded.
type verdict string

func wellIf(well bool) verdict {
	if well {
		return stateOK
	}
	return stateDegraded
}

func databaseDetail(f store.ServerFigures) healthDetail {
	if f.InRecovery {
		return judged("database", stateDegraded, "PostgreSQL %s follows another server and takes no writes", f.Version)
	}
	return judged("database", stateOK, "PostgreSQL %s", f.Version)
}

func connectionsDetail(f store.ServerFigures) healthDetail {
	available := max(1, f.MaxConnections-f.Reserved)
	share := 100 * float64(f.Connections) / float64(available)
	return judged("connections", wellIf(share < connectionsMost), "%d of %d that ordinary logins may have (max_connections %d)",
		f.Connections, available, f.MaxConnections)
}

func (s *Server) eventDetails(f figures) []healthDetail {
	e := f.Events
	late := time.Duration(e.OldestUnrouted * float64(time.Second))
	facts := judged("outbox", wellIf(e.Unrouted == 0 || late < factsOldest), "%s, the oldest %s old",
		upTo(e.Unrouted, store.MostEventsCounted, "fact waits to be routed", "facts wait to be routed"), late.Round(time.Second))
	if e.Unrouted == 0 {
		facts.Detail = "all facts are routed"
	}
	dead := judged("dead_events", wellIf(e.Dead == 0), "%s; payaid events dead lists them",
		upTo(e.Dead, store.MostEventsCounted, "message could not be read", "messages could not be read"))
	if e.Dead == 0 {
		dead.Detail = "none"
	}
	list := []healthDetail{facts, dead}
	switch {
	case f.stream != nil:
		return append(list, judged("stream", stateOK, "events %d to %d", f.stream.First, f.stream.Last))
	case s.Figures.Stream != nil:
		return append(list, healthDetail{"stream", stateUnknown, "NATS can't be asked; facts wait in the outbox"})
	}
	return list
}

func upTo(n, most int64, one, many string) string {
	switch {
	case n == 1:
		return "1 " + one
	case n >= most:
		return strconv.FormatInt(n, 10) + " or more " + many
	}
	return strconv.FormatInt(n, 10) + " " + many
}

func (s *Server) queueDetails(f figures) (list []healthDetail) {
	working := workedQueues(f.Workers)
	for _, q := range f.Queues {
		w := working[q.Queue]
		name := "queue." + q.Queue
		switch {
		case q.PausedAt != nil:
			list = append(list, judged(name, stateOK, "paused since %s", q.PausedAt.UTC().Format(time.RFC3339)))
		case w.processes == 0:
			known := slices.Contains(s.Figures.Queues, q.Queue)
			list = append(list, judged(name, wellIf(!known && q.Available == 0), "nobody works it; run payaid worker --queue %s", q.Queue))
		default:
			oldest := time.Duration(0)
			if q.OldestSeconds != nil {
				oldest = time.Duration(*q.OldestSeconds * float64(time.Second))
			}
			list = append(list, judged(name, wellIf(oldest < jobsOldest), "%s with %s; %d run, %s%s",
				upTo(int64(w.processes), 1<<62, "process", "processes"), upTo(int64(w.places), 1<<62, "place", "places"), q.Running,
				upTo(q.Available, store.MostJobsCounted, "is due", "are due"), since(oldest)))
		}
	}
	return list
}

func since(d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return ", the oldest for " + d.Round(time.Second).String()
}

// backupDetails judges the backups of an installation that began, or was restored, at a moment: it has none until its
// first night.
func backupDetails(b store.BackupStanding, begun, now time.Time) []healthDetail {
	const name, verification = "backup", "backup_verification"
	if b.LastGoodAt == nil {
		if b.LastFailedCode != nil {
			return []healthDetail{{name, stateDegraded, "there is none; the last try failed: " + *b.LastFailedCode}}
		}
		return []healthDetail{judged(name, wellIf(now.Sub(begun) < backupOldest), "there is none yet; payaid backup now makes one")}
	}
	age := now.Sub(*b.LastGoodAt)
	good := judged(name, wellIf(age < backupOldest), "the newest is %s old", age.Round(time.Minute))
	if b.LastFailedAt != nil && b.LastFailedAt.After(*b.LastGoodAt) && b.LastFailedCode != nil {
		good.State, good.Detail = stateDegraded, good.Detail+"; a try since failed: "+*b.LastFailedCode
	}
	if b.LastVerifiedAt == nil {
		return []healthDetail{good, judged(verification, wellIf(now.Sub(begun) < backupOldest),
			"none was restored to see what is in it; payaid backup verify does")}
	}
	verified := now.Sub(*b.LastVerifiedAt)
	v := judged(verification, wellIf(verified < verifiedOldest), "the newest that was restored and found complete is %s old", verified.Round(time.Minute))
	if b.RestoreSeconds != nil {
		v.Detail += fmt.Sprintf("; that took %.1f s", *b.RestoreSeconds)
	}
	return []healthDetail{good, v}
}

// providerDetails are what workers know of models and the mail server: the worst of any of them.
func providerDetails(workers []store.WorkerProcess) []healthDetail {
	open := map[string][]string{}
	heard := map[string]bool{}
	for _, w := range workers {
		for _, p := range w.Providers {
			part := "ai"
			if p.Provider == store.MailServer {
				part = "mail"
			}
			heard[part] = true
			what := p.Provider + " " + p.Model + " is left alone for a while"
			if p.LastClass != "" {
				what += " after " + p.LastClass
			}
			if p.State == "open" && !slices.Contains(open[part], what) {
				open[part] = append(open[part], what)
			}
		}
	}
	var list []healthDetail
	for _, part := range []string{"ai", "mail"} {
		switch {
		case !heard[part]:
			list = append(list, healthDetail{part, stateUnknown, "no worker has said anything of it"})
		case len(open[part]) > 0:
			list = append(list, healthDetail{part, stateDegraded, strings.Join(open[part], "; ")})
		default:
			list = append(list, healthDetail{part, stateOK, "in use"})
		}
	}
	return list
}

// machineDetails are the disks, and the memory of the fullest process.
func machineDetails(f figures) (list []healthDetail) {
	for _, d := range f.disks() {
		name := "disk." + d.Name
		if d.Percent == nil {
			list = append(list, healthDetail{name, stateUnknown, d.Path + " on " + d.Host + ": " + *d.Reason})
			continue
		}
		list = append(list, judged(name, wellIf(*d.Percent < diskMost), "%g %% of %s on %s is used, %d MB are free", *d.Percent, d.Path, d.Host, d.Free>>20))
	}
	var fullest *countedProcess
	for i, p := range f.processes {
		if p.Machine.Memory != nil && (fullest == nil || p.Machine.Memory.Percent > fullest.Machine.Memory.Percent) {
			fullest = &f.processes[i]
		}
	}
	if fullest == nil {
		return append(list, healthDetail{"memory", stateUnknown, "no process has said how much it has"})
	}
	m := fullest.Machine.Memory
	return append(list, judged("memory", wellIf(m.Percent < memoryMost), "%g %% of %d MB is used (%s) where %s on %s runs, the fullest",
		m.Percent, m.Limit>>20, m.Source, fullest.Role, fullest.Host))
}

// countingDetail says whether what is counted is counted together.
func (s *Server) countingDetail(f figures) healthDetail {
	why := f.why(s.Figures.Shared)
	if len(why) == 0 {
		return judged("figures", stateOK, "%d processes count together", len(f.processes))
	}
	together := !s.Figures.Shared || f.hour.Scope == minutes.Everybody && f.hour.Why == nil
	return judged("figures", wellIf(together && len(f.hour.Silent) == 0), "%s", strings.Join(why, "; "))
}
