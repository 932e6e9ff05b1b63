package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

const (
	// longFailing is how long an endpoint may fail before somebody should hear of it: it is disabled after three days.
	longFailing = 24 * time.Hour
	// lateDelivery is how long a delivery may wait for its turn though its receiver takes what comes.
	lateDelivery = 10 * time.Minute
	// troubledNamed is how many endpoints are looked up, and namedHere how many of them are named.
	troubledNamed, namedHere = 100, 3
)

// webhooks looks at what waits to be delivered, and at receivers that don't take it.
func (d *doctor) webhooks(ctx context.Context, db *store.DB) {
	now, err := db.WebhookStanding(ctx)
	var troubled []store.TroubledEndpoint
	if err == nil {
		troubled, err = db.TroubledEndpoints(ctx, longFailing, troubledNamed)
	}
	var list []store.WorkerProcess
	if err == nil {
		list, err = db.Workers(ctx)
	}
	if err != nil {
		d.say(broken, "webhooks", "run `payaid migrate`", "%v", err)
		return
	}
	working := 0
	for _, w := range list {
		if time.Since(w.HeartbeatAt) < time.Minute {
			working += w.Places()["webhook"]
		}
	}
	d.deliveries(now, working)
	d.troubled(troubled)
}

// deliveries judges the backlog by who works it.
func (d *doctor) deliveries(now store.WebhookStanding, places int) {
	const check = "webhooks"
	pending := fmt.Sprint(now.Pending)
	if now.Pending >= store.MostDeliveriesCounted {
		pending += " or more"
	}
	switch {
	case now.Pending > 0 && places == 0:
		d.say(broken, check, "start `payaid worker --queue webhook`; none is lost meanwhile, but each is given up after three days",
			"%s deliveries are pending, and no worker works the queue", pending)
	case now.Backlog > lateDelivery:
		d.say(uneasy, check, "start more workers with --queue webhook; if its queue is empty, one receiver is slow (GET /api/webhooks shows its owner which)",
			"a delivery has waited for its turn for %s though its receiver takes what comes; %s are pending", now.Backlog.Round(time.Second), pending)
	default:
		d.say(fine, check, "", "%s deliveries are pending, %d receivers are left alone for a while, %d endpoints are enabled", pending, now.Paused, now.Enabled)
	}
}

// troubled names endpoints that hear of nothing, or soon won't.
func (d *doctor) troubled(list []store.TroubledEndpoint) {
	disabled, failing := make([]string, 0, len(list)), make([]string, 0, len(list))
	for _, e := range list {
		name := e.ID + " of organization " + e.OrganizationID
		if e.Since != nil {
			name += " since " + e.Since.UTC().Format(time.RFC3339)
		}
		if e.DisabledCode != nil {
			disabled = append(disabled, name+" ("+*e.DisabledCode+")")
			continue
		}
		failing = append(failing, fmt.Sprintf("%s (%d times in a row)", name, e.Failures))
	}
	if len(disabled) > 0 {
		d.say(uneasy, "webhook endpoints disabled", "their owners were told by mail: the receiver is to be mended, the endpoint enabled (PATCH /api/webhooks/{id}), and what it missed replayed",
			"%s", someOf(disabled))
	}
	if len(failing) > 0 {
		d.say(uneasy, "webhook endpoints failing", "their owners see each attempt at GET /api/webhooks/{id}/deliveries; after three days an endpoint is disabled. If many fail, see whether this machine gets out",
			"%s", someOf(failing))
	}
}

// someOf names the first of a list that may end at a bound.
func someOf(names []string) string {
	count := fmt.Sprint(len(names))
	if len(names) >= troubledNamed {
		count += " or more"
	}
	if len(names) <= namedHere {
		return count + ": " + strings.Join(names, ", ")
	}
	return count + ", the latest: " + strings.Join(names[:namedHere], ", ")
}

// receivers judges where webhooks may go. On a machine where somebody tries things out they may go anywhere; where
// clients come from outside, who may add a webhook reaches what the settings open.
func (d *doctor) receivers(p webhook.Policy, api, links string) {
	const check = "webhook receivers"
	public := strings.HasPrefix(links, "https://") || strings.HasPrefix(api, "https://")
	var open []string
	for _, n := range p.Networks {
		if opensTooMuch(n) {
			open = append(open, n.String())
		}
	}
	switch {
	case len(open) > 0:
		d.say(uneasy, check, "list single hosts or the smallest networks in WEBHOOK_ALLOW_NETWORKS", "whoever may add a webhook reaches all of %s, where this machine itself, its metadata service or all of the network behind it may be", strings.Join(open, ", "))
	case p.AllowHTTP && public:
		d.say(uneasy, check, "unset WEBHOOK_ALLOW_HTTP", "webhooks may go over http, where everybody on the way reads and changes them")
	case p.AllowHTTP || len(p.Networks) > 0:
		d.say(fine, check, "", "http is allowed: %v; besides public addresses: %v", p.AllowHTTP, p.Networks)
	default:
		d.say(fine, check, "", "public addresses over https alone")
	}
}

// opensTooMuch tells networks in which nobody receives webhooks, or that are larger than a house.
func opensTooMuch(n netip.Prefix) bool {
	for _, hole := range []string{"127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10", "0.0.0.0/8"} {
		if n.Overlaps(netip.MustParsePrefix(hole)) {
			return true
		}
	}
	if n.Addr().Is4() {
		return n.Bits() < 16
	}
	return n.Bits() < 48
}
