package api

import "net/http"

// failureRoutes show what went wrong, and do something about many jobs at once.
func (s *Server) failureRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/api/admin/failures", scopes: adminRead,
			summary: "Group what went wrong by its cause", register: typed(s.listFailures, http.StatusOK)},
		{method: get, path: "/api/admin/failures/{fingerprint}", scopes: adminRead,
			summary: "Read a group of failures, with the newest of them", register: typed(s.getFailure, http.StatusOK)},
		{method: post, path: "/api/admin/bulk/preview", scopes: admin, body: jsonBody,
			summary: "Say what something would do to all jobs that match", register: typed(s.previewBulk, http.StatusOK)},
		{method: post, path: "/api/admin/bulk", scopes: admin, body: jsonBody,
			summary: "Have something done with all jobs that match", register: typed(s.createBulk, http.StatusAccepted)},
		{method: get, path: "/api/admin/bulk", scopes: adminRead,
			summary: "List what was done with many jobs, newest first", register: typed(s.listBulk, http.StatusOK)},
		{method: get, path: "/api/admin/bulk/{id}", scopes: adminRead,
			summary: "Read how far it has come, and what went otherwise", register: typed(s.getBulk, http.StatusOK)},
		{method: post, path: "/api/admin/bulk/{id}/stop", scopes: admin,
			summary: "Stop behind the jobs that are in hands", register: typed(s.stopBulk, http.StatusOK)},
	}
}
