package api

import "net/http"

// workRoutes are those of the admin's API about queues, who works them, kinds of jobs and the clock.
func (s *Server) workRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/api/admin/queues", scopes: adminRead,
			summary: "List the queues with what waits in them and how they did lately", register: typed(s.listQueues, http.StatusOK)},
		{method: post, path: "/api/admin/queues/pause", scopes: admin,
			summary: "Pause all queues", register: typed(s.pauseQueues, http.StatusOK)},
		{method: post, path: "/api/admin/queues/resume", scopes: admin,
			summary: "Resume all queues", register: typed(s.resumeQueues, http.StatusOK)},
		{method: get, path: "/api/admin/queues/{name}", scopes: adminRead,
			summary: "Read a queue, and how it did over a range", register: typed(s.getQueue, http.StatusOK)},
		{method: post, path: "/api/admin/queues/{name}/pause", scopes: admin,
			summary: "Pause a queue: its workers take no more of its jobs", register: typed(s.pauseQueue, http.StatusOK)},
		{method: post, path: "/api/admin/queues/{name}/resume", scopes: admin,
			summary: "Resume a queue", register: typed(s.resumeQueue, http.StatusOK)},
		{method: get, path: "/api/admin/workers", scopes: adminRead,
			summary: "List the processes that live, what they work at, and who leads", register: typed(s.listWorkers, http.StatusOK)},
		{method: get, path: "/api/admin/kinds", scopes: adminRead,
			summary: "List the kinds of jobs and how they did lately", register: typed(s.listKinds, http.StatusOK)},
		{method: get, path: "/api/admin/kinds/{name}", scopes: adminRead,
			summary: "Read a kind of jobs, and how it did over a range", register: typed(s.getKind, http.StatusOK)},
		{method: get, path: "/api/admin/schedules", scopes: adminRead,
			summary: "List what the clock starts", register: typed(s.listSchedules, http.StatusOK)},
		{method: post, path: "/api/admin/schedules/{name}/run", scopes: admin,
			summary: "Have a schedule start its work now", register: typed(s.runSchedule, http.StatusOK)},
		{method: post, path: "/api/admin/schedules/{name}/pause", scopes: admin,
			summary: "Keep the clock from starting a schedule", register: typed(s.pauseSchedule, http.StatusOK)},
		{method: post, path: "/api/admin/schedules/{name}/resume", scopes: admin,
			summary: "Let the clock start a schedule again", register: typed(s.resumeSchedule, http.StatusOK)},
	}
}
