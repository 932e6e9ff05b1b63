package api

import (
	"time"

	"github.com/payaid/payaid/internal/store"
)

// webhookMetricsView is how deliveries of webhooks do, over all organizations.
type webhookMetricsView struct {
	Pending           int64        `json:"pending" doc:"Deliveries that have not ended: those that wait for their turn or for their next attempt, and those under way. Ends at 100000"`
	OldestPending     *float64     `json:"oldest_pending_seconds" doc:"How long the oldest of them has been tried or waits: up to three days where a receiver fails. Of each receiver the next one is looked at"`
	Backlog           float64      `json:"backlog_seconds" doc:"How long the next delivery has waited for its turn where the receiver takes what comes and has no rate limit of its own; 0: none does"`
	DeliveredLastHour int64        `json:"deliveredLastHour" doc:"This and the next end at 100000 together"`
	FailedLastHour    int64        `json:"failedLastHour" doc:"Given up for good"`
	P95MS             *float64     `json:"p95_ms" doc:"Of the attempts of the last hour, those without an answer among them"`
	Paused            int          `json:"paused" doc:"Receivers that are left alone for a while: they failed, or asked for it"`
	Failing           int          `json:"failing" doc:"Receivers that failed several times in a row, so that one delivery at a time tries"`
	Disabled          int          `json:"disabled" doc:"Endpoints that were disabled as they failed for too long or answered 410; not those that their owners disabled"`
	Unmeasured        []unmeasured `json:"unmeasured" doc:"Why figures are null"`
}

func webhookMetricsViewOf(now store.WebhookStanding, m store.WebhookMetrics) webhookMetricsView {
	v := webhookMetricsView{Pending: now.Pending, Backlog: roundTo(now.Backlog.Seconds(), 1), DeliveredLastHour: m.Delivered, FailedLastHour: m.Failed,
		Paused: now.Paused, Failing: now.Failing, Disabled: now.Disabled["gone"] + now.Disabled["failing"], Unmeasured: []unmeasured{}}
	missing := reasons{list: v.Unmeasured}
	if now.OldestPending != nil {
		waited := roundTo(now.OldestPending.Seconds(), 1)
		v.OldestPending = &waited
	}
	if m.P95 != nil {
		ms := roundTo(*m.P95, 2)
		v.P95MS = &ms
	}
	missing.unless(v.OldestPending != nil, "oldest_pending_seconds", "no delivery is pending")
	missing.unless(v.P95MS != nil, "p95_ms", "no attempt was made in the window")
	v.Unmeasured = missing.list
	return v
}

// What has waited for so long though its receiver takes what comes, someone should look at.
const deliveriesOldest = 15 * time.Minute

// webhookDetail judges what is our own fault: a receiver that fails is its owner's business.
func webhookDetail(w store.WebhookStanding) healthDetail {
	disabled := w.Disabled["gone"] + w.Disabled["failing"]
	return judged("webhooks", wellIf(w.Backlog < deliveriesOldest), "%s%s; %s, %s disabled",
		upTo(w.Pending, store.MostDeliveriesCounted, "delivery is pending", "deliveries are pending"), waited(w.Backlog),
		upTo(int64(w.Paused), 1<<62, "receiver is left alone", "receivers are left alone"),
		upTo(int64(disabled), 1<<62, "endpoint is", "endpoints are"))
}

func waited(d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return ", one whose receiver is well for " + d.Round(time.Second).String()
}
