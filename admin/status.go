package admin

import (
	"context"
	"time"

	"github.com/payaid/payaid/operator"
)

// statusTime is how long a page waits to learn whether all is well: it is shown without, where that takes longer.
const statusTime = 500 * time.Millisecond

// unknownAlert keeps a page without alerts from saying that all is well where nobody knows.
var unknownAlert = operator.Alert{Code: "unknown", Severity: "warning", Link: "/admin/settings",
	Text: "Whether all is well can't be found out now: the database doesn't answer in time"}

// alerts are what somebody should see to. A page that can't learn them is shown all the same, and says so.
func (r *request) alerts() []operator.Alert {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	var s operator.Status
	if err := r.client.Get(ctx, "/api/admin/status", nil, &s); err != nil {
		return []operator.Alert{unknownAlert}
	}
	return s.Alerts
}
