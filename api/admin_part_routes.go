package api

import "net/http"

// partRoutes are those of the admin's API about models, mail, backups and indexes.
func (s *Server) partRoutes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{method: get, path: "/api/admin/status", scopes: adminRead,
			summary: "Is the installation well? At a glance", register: typed(s.adminStatus, http.StatusOK)},

		{method: get, path: "/api/admin/ai", scopes: adminRead,
			summary: "How models do, and what they cost and save", register: typed(s.adminAI, http.StatusOK)},
		{method: get, path: "/api/admin/ai/series", scopes: adminRead,
			summary: "What models did over time", register: typed(s.aiSeries, http.StatusOK)},
		{method: get, path: "/api/admin/ai/calls", scopes: adminRead,
			summary: "List attempts at models, those that began last first, without prompts", register: typed(s.aiCalls, http.StatusOK)},
		{method: post, path: "/api/admin/ai/models", scopes: admin, body: jsonBody,
			summary: "Have the owner's Ollama fetch a model", register: typed(s.pullModel, http.StatusAccepted)},

		{method: get, path: "/api/admin/mail", scopes: adminRead,
			summary: "List mails, newest first, without what they say", register: typed(s.adminMails, http.StatusOK)},
		{method: get, path: "/api/admin/mail/standing", scopes: adminRead,
			summary: "How mail does", register: typed(s.mailStanding, http.StatusOK)},
		{method: get, path: "/api/admin/mail/{id}", scopes: adminRead,
			summary: "Read a mail with its timeline, without what it says", register: typed(s.adminMail, http.StatusOK)},
		{method: post, path: "/api/admin/mail/{id}/reveal", scopes: admin,
			summary: "Show what a mail says, and what servers replied; it is noted who asked", register: typed(s.revealMail, http.StatusOK)},
		{method: post, path: "/api/admin/mail/{id}/settle", scopes: admin, body: jsonBody,
			summary: "Say what became of a mail of which nobody knew", register: typed(s.settleAnyMail, http.StatusOK)},
		{method: get, path: "/api/admin/mail/suppressions", scopes: adminRead,
			summary: "List the addresses that get no mail, newest first", register: typed(s.adminSuppressions, http.StatusOK)},
		{method: post, path: "/api/admin/mail/suppressions", scopes: admin, body: jsonBody,
			summary: "Send nothing of an organization's to an address", register: typed(s.suppressAny, http.StatusOK)},
		{method: del, path: "/api/admin/mail/suppressions/{id}", scopes: admin,
			summary: "Take one entry off the list", register: typed(s.unsuppressAny, http.StatusNoContent)},
		{method: get, path: "/api/admin/mail/templates", scopes: adminRead,
			summary: "List the product's own templates of mails", register: typed(s.mailSamples, http.StatusOK)},
		{method: get, path: "/api/admin/mail/templates/{name}", scopes: adminRead,
			summary: "Fill a template of the product with example data", register: typed(s.mailSample, http.StatusOK)},
		{method: get, path: "/api/admin/mail/sink", scopes: adminRead,
			summary: "List the mail that was caught where none leaves the house, without what it says", register: typed(s.adminSink, http.StatusOK)},
		{method: post, path: "/api/admin/mail/sink/{id}/reveal", scopes: admin,
			summary: "Show what a mail says that was caught; it is noted who asked", register: typed(s.revealSink, http.StatusOK)},

		{method: post, path: "/api/admin/backups", scopes: admin, body: bodyOrNone,
			summary: "Have a backup made now", register: typed(s.makeBackup, http.StatusAccepted)},
		{method: post, path: "/api/admin/backups/{name}/verify", scopes: admin,
			summary: "Have a backup restored for a try", register: typed(s.verifyBackup, http.StatusAccepted)},
		{method: post, path: "/api/admin/indexes/sample", scopes: admin,
			summary: "Have the counters of indexes written down now", register: typed(s.sampleIndexes, http.StatusAccepted)},
	}
}
