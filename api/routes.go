package api

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// A route is one line of the URL space.
type route struct {
	method, path string
	scopes       scopes // any of them will do; public: no key is asked for
	summary      string
	body         bodyUse
	creates      bool // takes an Idempotency-Key
	streams      bool // lives as long as its client listens
	pages        bool // of the admin: counted by no limit but their own, and without an end of their time
	free         bool // not counted by the rate limit: machines ask it all the time
	register     func(*Server, huma.API, route)
}

// bodyUse says what becomes of a request's body.
type bodyUse int

const (
	noBody     bodyUse = iota // ignored
	jsonBody                  // checked and handed to huma
	patchBody                 // jsonBody that may also call itself application/merge-patch+json
	bodyOrNone                // jsonBody that may be left out, which is {}
	parsedBody                // handed to the handler as it came
)

// routes is the whole URL space.
func (s *Server) routes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return slices.Concat([]route{
		{method: post, path: "/api/organizations", scopes: admin, body: jsonBody, creates: true,
			summary: "Create an organization with a first key", register: typed(s.createOrganization, http.StatusCreated)},
		{method: get, path: "/api/organization", scopes: read,
			summary: "Read the key's organization", register: typed(s.getOrganization, http.StatusOK)},
		{method: patch, path: "/api/organization", scopes: write, body: patchBody,
			summary: "Change the key's organization", register: typed(s.patchOrganization, http.StatusOK)},

		{method: get, path: "/api/api-keys", scopes: read,
			summary: "List keys, newest first", register: typed(s.listKeys, http.StatusOK)},
		{method: post, path: "/api/api-keys", scopes: write, body: jsonBody, creates: true,
			summary: "Make a key", register: typed(s.createKey, http.StatusCreated)},
		{method: del, path: "/api/api-keys/{id}", scopes: write,
			summary: "Revoke a key for good", register: typed(s.revokeKey, http.StatusNoContent)},

		{method: get, path: "/api/contacts", scopes: read,
			summary: "List contacts, newest first", register: typed(s.listContacts, http.StatusOK)},
		{method: post, path: "/api/contacts", scopes: write, body: jsonBody, creates: true,
			summary: "Make a contact", register: typed(s.createContact, http.StatusCreated)},
		{method: get, path: "/api/contacts/{id}", scopes: read,
			summary: "Read a contact", register: typed(s.getContact, http.StatusOK)},
		{method: patch, path: "/api/contacts/{id}", scopes: write, body: patchBody,
			summary: "Change a contact", register: typed(s.patchContact, http.StatusOK)},
		{method: del, path: "/api/contacts/{id}", scopes: write,
			summary: "Delete a contact that has neither deals nor invoices", register: typed(s.deleteContact, http.StatusNoContent)},

		{method: get, path: "/api/deals", scopes: read,
			summary: "List deals, newest first", register: typed(s.listDeals, http.StatusOK)},
		{method: post, path: "/api/deals", scopes: write, body: jsonBody, creates: true,
			summary: "Make a deal with a contact", register: typed(s.createDeal, http.StatusCreated)},
		{method: get, path: "/api/deals/{id}", scopes: read,
			summary: "Read a deal", register: typed(s.getDeal, http.StatusOK)},
		{method: patch, path: "/api/deals/{id}", scopes: write, body: patchBody,
			summary: "Change a deal, or move it to another stage", register: typed(s.patchDeal, http.StatusOK)},
		{method: del, path: "/api/deals/{id}", scopes: write,
			summary: "Delete a deal", register: typed(s.deleteDeal, http.StatusNoContent)},

		{method: get, path: "/api/invoices", scopes: read,
			summary: "List invoices, newest first, without their items and payments", register: typed(s.listInvoices, http.StatusOK)},
		{method: post, path: "/api/invoices", scopes: write, body: jsonBody, creates: true,
			summary: "Make a draft of an invoice", register: typed(s.createInvoice, http.StatusCreated)},
		{method: get, path: "/api/invoices/{id}", scopes: read,
			summary: "Read an invoice", register: typed(s.getInvoice, http.StatusOK)},
		{method: get, path: "/api/invoices/{id}/pdf", scopes: read,
			summary: "Read an invoice as a PDF", register: raw(s.getInvoicePDF, documentInvoicePDF)},
		{method: patch, path: "/api/invoices/{id}", scopes: write, body: patchBody,
			summary: "Change a draft; when it is sent, its notes and due date", register: typed(s.patchInvoice, http.StatusOK)},
		{method: del, path: "/api/invoices/{id}", scopes: write,
			summary: "Delete a draft", register: typed(s.deleteInvoice, http.StatusNoContent)},
		{method: post, path: "/api/invoices/{id}/send", scopes: write, creates: true,
			summary: "Give a draft its number and fix what it says", register: typed(s.sendInvoice, http.StatusOK)},
		{method: post, path: "/api/invoices/{id}/pay", scopes: write, body: jsonBody, creates: true,
			summary: "Note a payment, of all that is due or a part", register: typed(s.payInvoice, http.StatusOK)},
		{method: post, path: "/api/invoices/{id}/cancel", scopes: write, creates: true,
			summary: "Cancel an invoice for which nothing was paid", register: typed(s.cancelInvoice, http.StatusOK)},

		{method: get, path: "/api/dashboard/metrics", scopes: read,
			summary: "How the business stands", register: typed(s.getDashboard, http.StatusOK)},

		{method: get, path: "/api/ai/insights", scopes: read,
			summary: "List what was found out about contacts, deals, invoices and the business", register: typed(s.listInsights, http.StatusOK)},

		{method: get, path: "/api/ai/usage", scopes: read,
			summary: "What models did for the organization, what it cost and what was saved", register: typed(s.getUsage, http.StatusOK)},

		{method: post, path: "/api/jobs", scopes: jobs, body: parsedBody, creates: true,
			summary: "Hand over work", register: raw(s.submitJob, documentSubmit)},
		{method: post, path: "/api/jobs/batch", scopes: jobs, body: parsedBody, creates: true,
			summary: "Hand over up to 1000 jobs, all or none", register: raw(s.submitBatch, documentBatch)},
		{method: get, path: "/api/jobs", scopes: read | jobs,
			summary: "List jobs, newest first", register: typed(s.listJobs, http.StatusOK)},
		{method: get, path: "/api/jobs/{id}", scopes: read | jobs,
			summary: "Read a job, or wait for its end", register: typed(s.getJob, http.StatusOK)},
		{method: get, path: "/api/jobs/{id}/events", scopes: read | jobs, streams: true,
			summary: "Follow a job", register: raw(s.followJob, documentFollow)},
		{method: post, path: "/api/jobs/{id}/cancel", scopes: jobs,
			summary: "Give a job up", register: typed(s.cancelJob, http.StatusOK)},
		{method: post, path: "/api/jobs/{id}/retry", scopes: jobs,
			summary: "Give a job that failed, was cancelled or waits a new run", register: typed(s.retryJob, http.StatusOK)},

		{method: get, path: "/api/mail", scopes: read,
			summary: "List mails, newest first", register: typed(s.listMails, http.StatusOK)},
		{method: get, path: "/api/mail/{id}", scopes: read,
			summary: "Read a mail with its timeline", register: typed(s.getMail, http.StatusOK)},
		{method: post, path: "/api/mail/{id}/settle", scopes: jobs, body: jsonBody, creates: true,
			summary: "Say what became of a mail of which nobody knew", register: typed(s.settleMail, http.StatusOK)},
		{method: get, path: "/api/mail/suppressions", scopes: read,
			summary: "List the addresses that get no mail, newest first", register: typed(s.listSuppressions, http.StatusOK)},
		{method: post, path: "/api/mail/suppressions", scopes: write, body: jsonBody, creates: true,
			summary: "Send nothing to an address", register: alreadyThere(typed(s.suppress, http.StatusCreated))},
		{method: del, path: "/api/mail/suppressions", scopes: write,
			summary: "Send to an address again", register: typed(s.unsuppressAddress, http.StatusNoContent)},
		{method: del, path: "/api/mail/suppressions/{id}", scopes: write,
			summary: "Take one entry off the list", register: typed(s.unsuppress, http.StatusNoContent)},

		{method: get, path: "/api/mail/templates", scopes: read,
			summary: "List the organization's own templates of mails, newest first, without their texts", register: typed(s.listMailTemplates, http.StatusOK)},
		{method: post, path: "/api/mail/templates", scopes: write, body: jsonBody, creates: true,
			summary: "Make a template of mails", register: typed(s.createMailTemplate, http.StatusCreated)},
		{method: get, path: "/api/mail/templates/{id}", scopes: read,
			summary: "Read a template of mails", register: typed(s.getMailTemplate, http.StatusOK)},
		{method: patch, path: "/api/mail/templates/{id}", scopes: write, body: patchBody,
			summary: "Change a template of mails", register: typed(s.patchMailTemplate, http.StatusOK)},
		{method: del, path: "/api/mail/templates/{id}", scopes: write,
			summary: "Delete a template of mails", register: typed(s.deleteMailTemplate, http.StatusNoContent)},
		{method: post, path: "/api/mail/templates/preview", scopes: read, body: jsonBody,
			summary: "Render a template of mails, and send nothing", register: typed(s.previewMail, http.StatusOK)},

		{method: get, path: "/api/webhooks", scopes: read,
			summary: "List endpoints of webhooks, newest first", register: typed(s.listWebhooks, http.StatusOK)},
		{method: post, path: "/api/webhooks", scopes: write, body: jsonBody, creates: true,
			summary: "Have events posted to a URL", register: typed(s.createWebhook, http.StatusCreated)},
		{method: get, path: "/api/webhooks/{id}", scopes: read,
			summary: "Read an endpoint of webhooks", register: typed(s.getWebhook, http.StatusOK)},
		{method: patch, path: "/api/webhooks/{id}", scopes: write, body: patchBody,
			summary: "Change, disable or enable an endpoint of webhooks", register: typed(s.patchWebhook, http.StatusOK)},
		{method: del, path: "/api/webhooks/{id}", scopes: write,
			summary: "Delete an endpoint of webhooks", register: typed(s.deleteWebhook, http.StatusNoContent)},
		{method: post, path: "/api/webhooks/{id}/rotate", scopes: write, body: bodyOrNone, creates: true,
			summary: "Give an endpoint of webhooks a new secret", register: typed(s.rotateWebhook, http.StatusOK)},
		{method: post, path: "/api/webhooks/{id}/test", scopes: write, body: bodyOrNone, creates: true,
			summary: "Send an endpoint of webhooks a test", register: typed(s.testWebhook, http.StatusAccepted)},
		{method: post, path: "/api/webhooks/{id}/replay", scopes: write, body: jsonBody, creates: true,
			summary: "Deliver again what an endpoint of webhooks missed since a time", register: typed(s.replayWebhook, http.StatusAccepted)},
		{method: get, path: "/api/webhooks/{id}/deliveries", scopes: read,
			summary: "List deliveries to an endpoint of webhooks, newest first", register: typed(s.listDeliveries, http.StatusOK)},
		{method: get, path: "/api/webhooks/{id}/deliveries/{delivery_id}", scopes: read,
			summary: "Read a delivery with all of its attempts", register: typed(s.getDelivery, http.StatusOK)},
		{method: post, path: "/api/webhooks/{id}/deliveries/{delivery_id}/replay", scopes: write, creates: true,
			summary: "Make a delivery again", register: typed(s.replayDelivery, http.StatusAccepted)},

		{method: get, path: "/api/webhooks/callbacks", scopes: write | jobs,
			summary: "Read the secret that signs the callbacks of jobs", register: typed(s.getCallbackSecret, http.StatusOK)},
		{method: post, path: "/api/webhooks/callbacks/rotate", scopes: write, body: bodyOrNone, creates: true,
			summary: "Give the callbacks of jobs a new secret", register: typed(s.rotateCallbackSecret, http.StatusOK)},
		{method: get, path: "/api/webhooks/callbacks/deliveries", scopes: read | jobs,
			summary: "List callbacks of jobs, newest first", register: typed(s.listCallbacks, http.StatusOK)},
		{method: get, path: "/api/webhooks/callbacks/deliveries/{id}", scopes: read | jobs,
			summary: "Read a callback with all of its attempts", register: typed(s.getCallback, http.StatusOK)},
		{method: post, path: "/api/webhooks/callbacks/deliveries/{id}/replay", scopes: write | jobs, creates: true,
			summary: "Call back again", register: typed(s.replayCallback, http.StatusAccepted)},

		{method: get, path: "/unsubscribe/{ticket}",
			summary: "Ask a reader of a mail whether to unsubscribe", register: raw(s.showUnsubscribe, documentUnsubscribe)},
		{method: post, path: "/unsubscribe/{ticket}",
			summary: "Unsubscribe a reader of a mail, at one click (RFC 8058)", register: raw(s.unsubscribe, documentUnsubscribe)},

		{method: get, path: "/livez", free: true, summary: "Is the process alive?", register: typed(s.livez, http.StatusOK)},
		{method: get, path: "/readyz", free: true, summary: "Can it answer requests?", register: typed(s.readyz, http.StatusOK)},
		{method: get, path: "/api/health", free: true, summary: "Is the service well?", register: typed(s.readyz, http.StatusOK)},
		{method: get, path: "/api/system/health", free: true, summary: "Is the service well? With the scope admin or admin_read: what exactly",
			register: typed(s.systemHealth, http.StatusOK)},
		{method: get, path: "/api/system/metrics", scopes: adminRead,
			summary: "How the whole installation does", register: typed(s.systemMetrics, http.StatusOK)},
		{method: get, path: "/api/system/backups", scopes: adminRead,
			summary: "List the backups, newest first, and how well the data is kept", register: typed(s.listBackups, http.StatusOK)},
		{method: get, path: "/api/system/index-health", scopes: adminRead,
			summary: "How the indexes of the database do, and what is wrong with them", register: typed(s.indexHealth, http.StatusOK)},
		{method: get, path: "/api/system/mail-sink", scopes: admin,
			summary: "List the mail that was caught where none leaves the house, newest first", register: typed(s.listSink, http.StatusOK)},
		{method: get, path: "/api/system/mail-sink/{id}", scopes: admin,
			summary: "Save a mail that was caught", register: raw(s.getSink, documentSink)},

		{method: get, path: "/api/admin/audit", scopes: adminRead,
			summary: "List what operators did, newest first", register: typed(s.listAudit, http.StatusOK)},
		{method: get, path: "/api/admin/chain/{id}", scopes: adminRead,
			summary: "Show all that hangs together with an id, from the request to its effects outside", register: typed(s.getChain, http.StatusOK)},
		{method: get, path: "/api/admin/events", scopes: adminRead,
			summary: "List the events of all organizations, newest first", register: typed(s.listEvents, http.StatusOK)},
		{method: get, path: "/api/admin/events/state", scopes: adminRead,
			summary: "Show how events flow: the outbox, the stream, the relay, the router", register: typed(s.getEventsState, http.StatusOK)},
		{method: get, path: "/api/admin/events/dead", scopes: adminRead,
			summary: "List the events that could not be routed, newest first", register: typed(s.listDead, http.StatusOK)},
		{method: post, path: "/api/admin/events/dead/redrive", scopes: admin, body: jsonBody,
			summary: "Route dead events after all", register: typed(s.redriveDead, http.StatusOK)},
		{method: post, path: "/api/admin/events/replay", scopes: admin, body: jsonBody,
			summary: "Start again what events started, or count it", register: typed(s.replayEvents, http.StatusOK)},
		{method: get, path: "/api/admin/events/{id}", scopes: adminRead,
			summary: "Show an event, without what it says", register: typed(s.getEvent, http.StatusOK)},
		{method: post, path: "/api/admin/events/{id}/reveal", scopes: admin,
			summary: "Show what an event says", register: typed(s.revealEvent, http.StatusOK)},
		{method: get, path: "/api/admin/webhooks", scopes: adminRead,
			summary: "List the endpoints of webhooks of all organizations, newest first", register: typed(s.listEndpoints, http.StatusOK)},
		{method: get, path: "/api/admin/deliveries", scopes: adminRead,
			summary: "List deliveries of webhooks and callbacks of all organizations, newest first", register: typed(s.listAllDeliveries, http.StatusOK)},
		{method: get, path: "/api/admin/deliveries/{id}", scopes: adminRead,
			summary: "Show a delivery and its attempts, without contents", register: typed(s.getAnyDelivery, http.StatusOK)},
		{method: post, path: "/api/admin/deliveries/{id}/reveal", scopes: admin,
			summary: "Show what a delivery sent, and what was answered", register: typed(s.revealDelivery, http.StatusOK)},
		{method: post, path: "/api/admin/deliveries/{id}/replay", scopes: admin,
			summary: "Make a delivery again, now", register: typed(s.replayAnyDelivery, http.StatusAccepted)},
		{method: get, path: "/api/admin/webhooks/{organization_id}/{id}", scopes: adminRead,
			summary: "Show an endpoint of webhooks", register: typed(s.getEndpoint, http.StatusOK)},
		{method: post, path: "/api/admin/webhooks/{organization_id}/{id}/enable", scopes: admin,
			summary: "Enable an endpoint of webhooks, with a clean record", register: typed(s.enableEndpoint, http.StatusOK)},
		{method: post, path: "/api/admin/webhooks/{organization_id}/{id}/disable", scopes: admin,
			summary: "Disable an endpoint of webhooks", register: typed(s.disableEndpoint, http.StatusOK)},
		{method: post, path: "/api/admin/webhooks/{organization_id}/{id}/replay", scopes: admin, body: jsonBody,
			summary: "Deliver again what an endpoint of webhooks missed since a time", register: typed(s.replayEndpoint, http.StatusNoContent)},

		{method: get, path: "/openapi.json", summary: "This document", register: raw(s.serveOpenAPI, documentJSON)},
		{method: get, path: "/asyncapi.json", summary: "The events, as AsyncAPI 3", register: raw(s.serveAsyncAPI, documentJSON)},
		{method: get, path: "/docs", summary: "This document, to read", register: raw(s.serveDocs, documentPage)},
		{method: get, path: "/docs/", summary: "Go to the page", register: raw(toDocs, documentRedirect)},
		{method: get, path: "/", summary: "Go to the page", register: raw(toDocs, documentRedirect)},
		{method: get, path: "/docs/style.css", summary: "How the page looks", register: raw(s.serveStyle, documentPage)},
	}, s.adminJobRoutes(), s.partRoutes(), s.houseRoutes(), s.failureRoutes(), s.workRoutes())
}
