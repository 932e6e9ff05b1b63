package api

import (
	"time"

	"github.com/payaid/payaid/internal/store"
)

// mailMetricsView is how mail does, over all organizations.
type mailMetricsView struct {
	Queued              int64           `json:"queued" doc:"Mails that wait for their first attempt, those that are put off to a later time among them. This, the next three and suppressions end at 100000"`
	Sending             int64           `json:"sending"`
	Deferred            int64           `json:"deferred" doc:"Mails that the server put off for a recipient"`
	Unknown             int64           `json:"unknown" doc:"Mails of which nobody knows whether the server took them; payaid mail settle"`
	AcceptedLastHour    int64           `json:"accepted_last_hour" doc:"This and the next three count recipients"`
	FailedLastHour      int64           `json:"failed_last_hour"`
	BouncedLastHour     int64           `json:"bounced_last_hour"`
	ComplaintsLastHour  int64           `json:"complaints_last_hour"`
	Suppressions        int64           `json:"suppressions" doc:"In force"`
	OldestQueuedSeconds *int64          `json:"oldest_queued_seconds" doc:"How long the oldest queued mail that is due has waited"`
	Channel             mailChannelView `json:"channel" doc:"Between the workers and the mail server"`
	Unmeasured          []unmeasured    `json:"unmeasured" doc:"Why figures are null"`
}

// mailChannelView is what workers know of the mail server.
type mailChannelView struct {
	State   *string             `json:"state" enum:"closed,half_open,open" doc:"The worst of any worker. closed: mail goes through; half_open: one mail tries; open: the server is left alone for a while"`
	Workers []mailChannelWorker `json:"workers"`
}

type mailChannelWorker struct {
	Worker        string     `json:"worker"`
	Host          string     `json:"host"`
	HeartbeatAt   time.Time  `json:"heartbeat_at"`
	Server        string     `json:"server"`
	State         string     `json:"state" enum:"closed,half_open,open"`
	LastCause     *string    `json:"last_cause" doc:"Of the last failure, also after it is well again"`
	LastFailureAt *time.Time `json:"last_failure_at"`
	NextTryAt     *time.Time `json:"next_try_at"`
}

func mailMetricsViewOf(m store.MailMetrics, workers []store.WorkerProcess) mailMetricsView {
	v := mailMetricsView{Queued: m.Queued, Sending: m.Sending, Deferred: m.Deferred, Unknown: m.Unknown, AcceptedLastHour: m.Accepted,
		FailedLastHour: m.Failed, BouncedLastHour: m.Bounced, ComplaintsLastHour: m.Complained, Suppressions: m.Suppressions,
		Channel: mailChannelOf(workers), Unmeasured: []unmeasured{}}
	if m.OldestQueued != nil {
		waited := int64(m.OldestQueued.Seconds())
		v.OldestQueuedSeconds = &waited
	} else {
		v.Unmeasured = append(v.Unmeasured, unmeasured{"oldest_queued_seconds", "no mail that is due waits for its first attempt"})
	}
	if v.Channel.State == nil {
		v.Unmeasured = append(v.Unmeasured, unmeasured{"channel.state", "no worker has said anything of a mail server"})
	}
	return v
}

func mailChannelOf(workers []store.WorkerProcess) mailChannelView {
	v := mailChannelView{Workers: []mailChannelWorker{}}
	gravity := map[string]int{"closed": 1, "half_open": 2, "open": 3}
	worst := ""
	for _, w := range workers {
		for _, p := range w.Providers {
			if p.Provider != store.MailServer {
				continue
			}
			one := mailChannelWorker{Worker: w.ID, Host: w.Host, HeartbeatAt: w.HeartbeatAt.UTC(), Server: p.Model, State: p.State,
				LastFailureAt: p.LastFailure, NextTryAt: p.NextProbe}
			if p.LastClass != "" {
				one.LastCause = &p.LastClass
			}
			if gravity[p.State] > gravity[worst] {
				worst = p.State
			}
			v.Workers = append(v.Workers, one)
		}
	}
	if worst != "" {
		v.State = &worst
	}
	return v
}
