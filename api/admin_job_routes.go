package api

import "net/http"

// adminJobRoutes are where operators see jobs and act on them.
func (s *Server) adminJobRoutes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{method: get, path: "/api/admin/jobs", scopes: adminRead,
			summary: "List jobs of all organizations, newest first, without their content", register: typed(s.adminListJobs, http.StatusOK)},
		{method: post, path: "/api/admin/jobs", scopes: admin, body: jsonBody,
			summary: "Make a job for an organization", register: typed(s.adminNewJob, http.StatusAccepted)},
		{method: get, path: "/api/admin/jobs/counts", scopes: adminRead,
			summary: "Count jobs by state", register: typed(s.adminCountJobs, http.StatusOK)},
		{method: get, path: "/api/admin/jobs/kinds", scopes: adminRead,
			summary: "List the kinds of jobs that may be made", register: typed(s.adminJobKinds, http.StatusOK)},
		{method: get, path: "/api/admin/jobs/export", scopes: adminRead,
			summary: "Export the list of jobs, 100,000 at most", register: exported(s.adminExportJobs)},
		{method: get, path: "/api/admin/jobs/{id}", scopes: adminRead,
			summary: "Read a job of any organization, without its content", register: typed(s.adminGetJob, http.StatusOK)},
		{method: patch, path: "/api/admin/jobs/{id}", scopes: admin, body: patchBody,
			summary: "Change how urgent a job is, or when it goes on", register: typed(s.adminPatchJob, http.StatusOK)},
		{method: del, path: "/api/admin/jobs/{id}", scopes: admin,
			summary: "Delete a job that has ended; what it did and cost stays on the books", register: typed(s.adminDeleteJob, http.StatusNoContent)},
		{method: get, path: "/api/admin/jobs/{id}/events", scopes: admin, streams: true,
			summary: "Follow a job of any organization", register: raw(s.adminFollowJob, documentFollow)},
		{method: post, path: "/api/admin/jobs/{id}/reveal", scopes: admin,
			summary: "Read what of a job is hidden", register: typed(s.adminRevealJob, http.StatusOK)},
		{method: post, path: "/api/admin/jobs/{id}/retry", scopes: admin,
			summary: "Give a job a new run that is due now", register: typed(s.adminRetryJob, http.StatusOK)},
		{method: post, path: "/api/admin/jobs/{id}/cancel", scopes: admin,
			summary: "Give a job of any organization up", register: typed(s.adminCancelJob, http.StatusOK)},
		{method: post, path: "/api/admin/jobs/{id}/again", scopes: admin, body: bodyOrNone,
			summary: "Make a new job like another, with the same input or a changed one", register: typed(s.adminJobAgain, http.StatusAccepted)},
		{method: get, path: "/api/admin/organizations", scopes: adminRead,
			summary: "Find organizations by their names", register: typed(s.adminOrganizations, http.StatusOK)},
		{method: get, path: "/api/admin/views", scopes: adminRead,
			summary: "List the views of a list that were given names", register: typed(s.adminListViews, http.StatusOK)},
		{method: post, path: "/api/admin/views", scopes: admin, body: jsonBody,
			summary: "Give a view of a list a name, for all operators", register: typed(s.adminKeepView, http.StatusCreated)},
		{method: del, path: "/api/admin/views/{id}", scopes: admin,
			summary: "Forget a view of a list", register: typed(s.adminDeleteView, http.StatusNoContent)},
	}
}
