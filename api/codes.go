package api

import "net/http"

// A code names a problem for good. The docs page lists them, and the type of a problem points there.
type code struct {
	status  int
	title   string
	meaning string
}

var codes = map[string]code{
	"invalid_json":   {http.StatusBadRequest, "Invalid JSON", "The body is not one JSON value in UTF-8, or is missing."},
	"invalid_cursor": {http.StatusBadRequest, "Invalid cursor", "The cursor is not one of ours, or belongs to a list with other filters."},
	"invalid_header": {http.StatusBadRequest, "Invalid header", "A header can't be read; the detail says which."},
	"bad_request":    {http.StatusBadRequest, "Bad request", "The request can't be read."},
	"unauthorized":   {http.StatusUnauthorized, "Unauthorized", "The key is missing, mistyped, expired or revoked."},
	"forbidden":      {http.StatusForbidden, "Forbidden", "The key lacks the scope that the detail names, or may not be used from this address."},
	"not_found":      {http.StatusNotFound, "Not found", "There is no such thing, or it belongs to somebody else."},
	"method_not_allowed": {http.StatusMethodNotAllowed, "Method not allowed",
		"The path exists, but not with this method; Allow lists those that do."},
	"not_acceptable":            {http.StatusNotAcceptable, "Not acceptable", "The answer doesn't come in that form."},
	"request_timeout":           {http.StatusRequestTimeout, "Request timeout", "The body came too slowly."},
	"already_finished":          {http.StatusConflict, "Already finished", "The job has ended, so this can't be done to it any more."},
	"bulk_changed":              {http.StatusConflict, "Bulk changed", "By now another number of jobs match than the preview found, by much, or more than are to be deleted; look at a new one."},
	"bulk_confirmed":            {http.StatusConflict, "Confirmed before", "The preview was confirmed before; the detail names the bulk action that does it. Look at a new one to do it again."},
	"conflict":                  {http.StatusConflict, "Conflict", "It was changed at the same time; read it and try again."},
	"invalid_transition":        {http.StatusConflict, "Invalid transition", "It does not go from the state that it is in to that one; the detail says where it goes."},
	"contact_in_use":            {http.StatusConflict, "Contact in use", "Deals or invoices are about the contact, so it can't be deleted; set its status to inactive."},
	"seller_state_unknown":      {http.StatusConflict, "Seller's state unknown", "Tax depends on the organization's state, which is none of India; mend it by PATCH /api/organization."},
	"name_taken":                {http.StatusConflict, "Name taken", "The organization has another thing of that sort with that name."},
	"invoice_fixed":             {http.StatusConflict, "Invoice fixed", "What a sent invoice says can't be changed or deleted; the detail says what still can."},
	"invoice_empty":             {http.StatusConflict, "Invoice empty", "An invoice that asks for nothing can't be sent."},
	"invoice_has_payments":      {http.StatusConflict, "Invoice has payments", "An invoice for which money came in can't be cancelled."},
	"not_unknown":               {http.StatusConflict, "Not unknown", "What became of the mail is known, so there is nothing to settle; the detail says what it is."},
	"idempotency_key_in_flight": {http.StatusConflict, "Still in flight", "The first request with this Idempotency-Key, method and path has not ended yet."},
	"too_many_webhooks":         {http.StatusConflict, "Too many webhooks", "The organization has as many endpoints of webhooks as it may."},
	"webhook_disabled":          {http.StatusConflict, "Webhook disabled", "Nothing is delivered to a disabled endpoint; enable it first."},
	"delivery_pending":          {http.StatusConflict, "Delivery pending", "The delivery has not ended, and does not wait for its next attempt either."},
	"no_worker":                 {http.StatusConflict, "No worker", "No living worker process can do it; the detail says which one is missing."},
	"gone":                      {http.StatusGone, "Gone", "It was here once, and is no longer kept."},
	"precondition_failed":       {http.StatusPreconditionFailed, "Precondition failed", "If-Match names another version than the newest, or what was meant to be sent comes out differently now; the detail says which."},
	"body_too_large":            {http.StatusRequestEntityTooLarge, "Body too large", "The body is above 1 MiB."},
	"unsupported_media_type":    {http.StatusUnsupportedMediaType, "Unsupported media type", "Bodies are application/json in UTF-8."},
	"validation_failed":         {http.StatusUnprocessableEntity, "Validation failed", "Values are missing, unknown or out of range; errors points at each."},
	"unknown_kind":              {http.StatusUnprocessableEntity, "Unknown kind", "No worker knows this kind of job; the detail lists those there are."},
	"idempotency_key_reused":    {http.StatusUnprocessableEntity, "Idempotency key reused", "The Idempotency-Key was used with another body, or another API key, for the same method and path."},
	"rate_limited":              {http.StatusTooManyRequests, "Rate limited", "The key, or the address where there is none, has made as many requests as it may; Retry-After says when the next is let through."},
	"ai_rate_limited":           {http.StatusTooManyRequests, "AI rate limited", "The organization has submitted as many AI jobs as its plan allows in a time; the detail says which limit, Retry-After when it takes them. Nothing was created."},
	"too_many_streams":          {http.StatusTooManyRequests, "Too many streams", "The key follows as many jobs at once as it may."},
	"internal":                  {http.StatusInternalServerError, "Internal error", "A fault of ours; the request id finds it in our log."},
	"unavailable":               {http.StatusServiceUnavailable, "Unavailable", "The database can't be reached or is busy; nothing was done unless a repeat says so."},
	"search_timeout":            {http.StatusServiceUnavailable, "Search timeout", "The search took too long and was given up; longer words are found sooner."},
	"too_slow":                  {http.StatusServiceUnavailable, "Too slow", "What the operator asked takes too long over so many rows, and was given up; the detail says what would narrow it."},
	"not_ready":                 {http.StatusServiceUnavailable, "Not ready", "The process can't answer requests, or is about to end."},
}
