package api

import "github.com/payaid/payaid/internal/store"

// bounded lists the figures whose counting ended at its bound.
func bounded(f figures, ai store.AIMetrics, mail store.MailMetrics, webhooks store.WebhookMetrics) []string {
	list := []string{}
	note := func(figure string, n, most int64) {
		if n >= most {
			list = append(list, figure)
		}
	}
	for _, q := range f.Queues {
		name := "queues." + q.Queue
		note(name+".available", q.Available, store.MostJobsCounted)
		note(name+".running", q.Running, store.MostJobsCounted)
		note(name+".retryable", q.Retryable, store.MostJobsCounted)
		note(name+".scheduled", q.Scheduled, store.MostJobsCounted)
		note(name+".pending", q.Pending, store.MostJobsCounted)
	}
	if f.Events.Unpublished != nil {
		note("events.unpublished", *f.Events.Unpublished, store.MostEventsCounted)
	}
	note("events.unrouted", f.Events.Unrouted, store.MostEventsCounted)
	note("events.dead", f.Events.Dead, store.MostEventsCounted)
	if ai.All != nil {
		for _, figure := range []string{"ai.providers", "ai.tokens", "ai.cost", "ai.savedInr"} {
			note(figure, ai.All.Looked, store.MostCallsLooked)
		}
	}
	note("mail.queued", mail.Queued, store.MostMailsCounted)
	note("mail.sending", mail.Sending, store.MostMailsCounted)
	note("mail.deferred", mail.Deferred, store.MostMailsCounted)
	note("mail.unknown", mail.Unknown, store.MostMailsCounted)
	note("mail.suppressions", mail.Suppressions, store.MostMailsCounted)
	note("webhooks.pending", f.Webhooks.Pending, store.MostDeliveriesCounted)
	if webhooks.Delivered+webhooks.Failed >= store.MostDeliveriesCounted {
		list = append(list, "webhooks.deliveredLastHour", "webhooks.failedLastHour")
	}
	return list
}
