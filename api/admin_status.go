package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

const (
	// Every page asks, and several people may have several open.
	statusEvery = 5 * time.Second
	// What is older is told nobody, also while somebody finds out what is so now.
	statusOldest = 30 * time.Second
	// Facts start their jobs within a second; whoever waits so long waits for a process that isn't there.
	lagSlack = time.Minute
)

// pulseCache keeps what was found out a moment ago. One at a time asks anew, and nobody waits for that one while there
// is something to tell: else the pages of a slow database came one after the other.
type pulseCache struct {
	looking sync.Mutex
	mu      sync.Mutex // of what follows
	last    operator.Status
	vainly  time.Time // when it was asked in vain
}

// told is what there is to tell without asking, if it is at most so old; vain: it was asked in vain a moment ago.
func (c *pulseCache) told(now time.Time, age time.Duration) (last operator.Status, ok, vain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, now.Sub(c.last.At) < age, now.Sub(c.vainly) < statusEvery
}

type pulseInput struct{}

type pulseOutput struct{ Body operator.Status }

// adminStatus tells whether the installation is well, at a glance.
func (s *Server) adminStatus(ctx context.Context, _ *pulseInput) (*pulseOutput, error) {
	now := time.Now().UTC()
	if last, ok, _ := s.pulse.told(now, statusEvery); ok {
		return &pulseOutput{last}, nil
	}
	if !s.pulse.looking.TryLock() {
		if last, ok, _ := s.pulse.told(now, statusOldest); ok {
			return &pulseOutput{last}, nil
		}
		s.pulse.looking.Lock()
	}
	defer s.pulse.looking.Unlock()
	if last, ok, vain := s.pulse.told(now, statusEvery); ok {
		return &pulseOutput{last}, nil
	} else if vain {
		return nil, refuse("unavailable", "whether all is well could not be found out a moment ago; try again").with("Retry-After", "5")
	}
	var p store.Pulse
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		p, err = store.PulseOf(ctx, tx)
		return err
	})
	s.pulse.mu.Lock()
	defer s.pulse.mu.Unlock()
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // a browser that has gone says nothing of the database
			s.pulse.vainly = time.Now()
		}
		return nil, err
	}
	s.pulse.last = s.statusOf(p, now)
	return &pulseOutput{s.pulse.last}, nil
}

// alerts gathers what is the matter.
type alerts []operator.Alert

func (a *alerts) add(severity, code, link, text string, args ...any) {
	*a = append(*a, operator.Alert{Code: code, Severity: severity, Text: fmt.Sprintf(text, args...), Link: link})
}

var gravity = map[string]int{"critical": 2, "warning": 1, "info": 0}

func (s *Server) statusOf(p store.Pulse, now time.Time) operator.Status {
	list := alerts{}
	s.queueAlerts(&list, p, now)
	eventAlerts(&list, p)
	providerAlerts(&list, p.Workers)
	backupAlerts(&list, p, now)
	if p.Unknown > 0 {
		list.add("warning", "mail_unknown", "/admin/mail?state=unknown", "%s of which nobody knows whether the mail server took them: settle them",
			numbered(p.Unknown, "mail", "mails"))
	}
	slices.SortStableFunc(list, func(a, b operator.Alert) int { return cmp.Compare(gravity[b.Severity], gravity[a.Severity]) })
	return operator.Status{Well: len(list) == 0 || list[0].Severity == "info", Alerts: list, At: now}
}

func (s *Server) queueAlerts(list *alerts, p store.Pulse, now time.Time) {
	for _, q := range p.Paused {
		list.add("info", "queue_paused", "/admin/queues", "the queue %s is paused since %s: nothing is taken from it", q.Name, roughly(now.Sub(q.PausedAt)))
	}
	if missing := s.unworked(p.Workers); len(missing) > 0 {
		list.add("critical", "no_workers", "/admin/queues", "nobody works %s: start `payaid worker --queue %s`", strings.Join(missing, ", "), missing[0])
	} else if !p.Leader {
		list.add("critical", "no_leader", "/admin/queues", "no worker leads: nothing that is scheduled or waits is started; a worker takes over within 15 s, or see its log")
	}
}

// unworked are the queues that kinds have and no living worker works.
func (s *Server) unworked(workers []store.WorkerProcess) []string {
	wanted := make(map[string]bool)
	for _, k := range s.kinds {
		wanted[k.Queue] = true
	}
	for _, w := range workers {
		var works map[string]int
		if json.Unmarshal(w.Queues, &works) != nil {
			continue
		}
		for queue := range works {
			delete(wanted, queue)
		}
	}
	return slices.Sorted(maps.Keys(wanted))
}

func eventAlerts(list *alerts, p store.Pulse) {
	if p.Dead > 0 {
		list.add("warning", "dead_events", "/admin/events/dead", "%s could not be read and wait: look at them, then redrive them", numbered(p.Dead, "event", "events"))
	}
	if p.OldestUnrouted > lagSlack {
		list.add("critical", "events_lag", "/admin/events", "%s whose jobs have not been started, the oldest since %s: see to NATS, the relay and the workers",
			numbered(p.Unrouted, "event", "events"), roughly(p.OldestUnrouted))
	}
}

// providerAlerts tell of what workers have turned away from: models, and mail servers.
func providerAlerts(list *alerts, workers []store.WorkerProcess) {
	open := make(map[[2]string]string)
	for _, w := range workers {
		for _, p := range w.Providers {
			if p.State == "open" {
				open[[2]string{p.Provider, p.Model}] = p.LastClass
			}
		}
	}
	for _, of := range slices.SortedFunc(maps.Keys(open), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if of[0] == store.MailServer {
			list.add("critical", "mail_server_away", "/admin/mail", "the mail server %s is left alone for a while (%s): mail waits", of[1], cmp.Or(open[of], "it failed"))
			continue
		}
		list.add("warning", "model_away", "/admin/ai", "%s of %s is not asked (%s), until a probe succeeds", of[1], of[0], cmp.Or(open[of], "it failed"))
	}
}

func backupAlerts(list *alerts, p store.Pulse, now time.Time) {
	b, link := p.Backups, "/admin/backups"
	switch {
	case b.LastFailedAt != nil && (b.LastGoodAt == nil || b.LastFailedAt.After(*b.LastGoodAt)):
		code := "unknown"
		if b.LastFailedCode != nil {
			code = *b.LastFailedCode
		}
		list.add("critical", "backup_failed", link, "the last backup failed (%s)", code)
	case b.LastGoodAt == nil:
		list.add("warning", "no_backup", link, "there is no backup: make one")
	case b.LastVerifiedAt == nil && now.Sub(*b.LastGoodAt) > backupSlack, b.LastVerifiedAt != nil && b.LastGoodAt.Sub(*b.LastVerifiedAt) > proofSlack:
		list.add("warning", "backup_unverified", link, "nobody tried to restore the newest backups")
	}
	switch s := p.Schedule; {
	case s == nil:
	case s.PausedAt != nil:
		list.add("warning", "backups_paused", "/admin/schedules", "the clock makes no backups since %s, as somebody paused them", roughly(now.Sub(*s.PausedAt)))
	case now.Sub(s.NextRunAt) > scheduleSlack:
		list.add("critical", "backup_late", link, "the backup of %s was not started: run a worker", p.Schedule.NextRunAt.UTC().Format("02 Jan 15:04 UTC"))
	}
}

// numbered is a number with its noun, and says so where the counting ended.
func numbered(n int64, one, many string) string {
	switch {
	case n == 1:
		return "1 " + one
	case n >= store.MostEventsCounted:
		return fmt.Sprintf("at least %d %s", n, many)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// roughly is how long something lasts, for a sentence.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
