package api

import (
	"maps"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// apiMetricsView is how requests did in the last hour. Times are of requests that are neither probes of health nor
// as long as their clients chose, and in milliseconds.
type apiMetricsView struct {
	AvgResponseTime  *float64 `json:"avgResponseTime" doc:"Without probes of health, streams, and waits for a job's end"`
	P95ResponseTime  *float64 `json:"p95ResponseTime" doc:"The same; from classes of times, so exact to the class"`
	RequestsLastHour *int64   `json:"requestsLastHour" doc:"All that were answered"`
	ErrorsLastHour   *int64   `json:"errorsLastHour" doc:"Of those, answered with 500 or above; what clients do wrong is not among them"`
	ProbesLastHour   *int64   `json:"probesLastHour" doc:"Of all, those that ask whether the service is well: /livez, /readyz, /api/health, /api/system/health"`
	GoneLastHour     *int64   `json:"goneLastHour" doc:"Of all, those whose clients hung up before the answer"`
}

const notCounted = "nobody counts in this process"

func apiMetrics(f figures, missing *reasons) apiMetricsView {
	if !f.counted {
		missing.add("api", notCounted)
		return apiMetricsView{}
	}
	v := apiMetricsView{RequestsLastHour: &f.hour.Requests, ErrorsLastHour: &f.hour.Errors, ProbesLastHour: &f.hour.Probes, GoneLastHour: &f.hour.Gone}
	v.AvgResponseTime, v.P95ResponseTime = timesOf(f.hour.Times)
	if v.AvgResponseTime == nil {
		missing.add("api.avgResponseTime", "no request was answered in the window")
		missing.add("api.p95ResponseTime", "no request was answered in the window")
	}
	return v
}

func timesOf(t minutes.Times) (average, p95 *float64) {
	if mean, ok := t.Average(); ok {
		ms := milliseconds(mean)
		average = &ms
	}
	if most, ok := t.Percentile(0.95); ok {
		ms := milliseconds(most)
		p95 = &ms
	}
	return average, p95
}

func milliseconds(d time.Duration) float64 { return roundTo(float64(d)/float64(time.Millisecond), 2) }

// queueMetricsView is how one queue does: what is in it now, and what left it in the last hour.
type queueMetricsView struct {
	Queue     string     `json:"queue"`
	PausedAt  *time.Time `json:"paused_at" doc:"null: it is not paused"`
	Available int64      `json:"available" doc:"Due, and not taken yet. This and the next four end at 100000"`
	Running   int64      `json:"running"`
	Retryable int64      `json:"retryable" doc:"Tried in vain, and will be again"`
	Scheduled int64      `json:"scheduled" doc:"For later, or waiting for something that is away"`
	Pending   int64      `json:"pending"`
	// The signal that counts: a deep queue may be quick, and a short one may stand still.
	OldestAvailableSeconds *float64       `json:"oldest_available_seconds" doc:"How long the oldest that is due has waited; null: none is"`
	Workers                int            `json:"workers" doc:"Processes that work it and live"`
	Places                 int            `json:"places" doc:"Jobs that they take at a time, together"`
	LastHour               *queueHourView `json:"last_hour"`
}

// queueHourView are the attempts of jobs that ended in the last hour.
type queueHourView struct {
	_         struct{} `nullable:"true"`
	Succeeded int64    `json:"succeeded"`
	Failed    int64    `json:"failed" doc:"For good"`
	Retried   int64    `json:"retried" doc:"Went wrong, and the job is tried again"`
	Waiting   int64    `json:"waiting" doc:"Put off, as something is away"`
	Cancelled int64    `json:"cancelled"`
	Returned  int64    `json:"returned" doc:"Gave the job back, as the process stopped"`
	Lost      int64    `json:"lost" doc:"Died with their process"`
	AvgMS     *float64 `json:"avg_ms" doc:"Of an attempt"`
	P95MS     *float64 `json:"p95_ms"`
	P95WaitMS *float64 `json:"p95_wait_ms" doc:"From due to taken"`
}

func queueMetrics(f figures, missing *reasons) []queueMetricsView {
	byName := make(map[string]queueMetricsView)
	for _, q := range f.Queues {
		byName[q.Queue] = queueMetricsView{Queue: q.Queue, PausedAt: q.PausedAt, Available: q.Available, Running: q.Running,
			Retryable: q.Retryable, Scheduled: q.Scheduled, Pending: q.Pending, OldestAvailableSeconds: tenth(q.OldestSeconds)}
	}
	for name, w := range workedQueues(f.Workers) {
		q := byName[name]
		q.Queue, q.Workers, q.Places = name, w.processes, w.places
		byName[name] = q
	}
	for _, name := range f.hour.QueueNames() {
		q := byName[name]
		q.Queue = name
		byName[name] = q
	}
	list := make([]queueMetricsView, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		q := byName[name]
		if f.counted {
			q.LastHour = queueHourOf(f.hour.Queues[name])
		}
		q.explain(missing)
		list = append(list, q)
	}
	return list
}

// explain says why figures of the queue are null.
func (q queueMetricsView) explain(missing *reasons) {
	name := "queues." + q.Queue
	missing.unless(q.OldestAvailableSeconds != nil, name+".oldest_available_seconds", "no job of it is due and waits")
	h := q.LastHour
	if h == nil {
		missing.add(name+".last_hour", notCounted)
		return
	}
	missing.unless(h.AvgMS != nil, name+".last_hour.avg_ms", "no attempt ended in the window")
	missing.unless(h.P95MS != nil, name+".last_hour.p95_ms", "no attempt ended in the window")
	missing.unless(h.P95WaitMS != nil, name+".last_hour.p95_wait_ms", "no attempt ended in the window")
}

func queueHourOf(q minutes.Queue) *queueHourView {
	v := &queueHourView{Succeeded: q.Outcomes["succeeded"], Failed: q.Outcomes["failed"], Retried: q.Outcomes["retried"],
		Waiting: q.Outcomes["waiting"], Cancelled: q.Outcomes["cancelled"], Returned: q.Outcomes["returned"], Lost: q.Outcomes["lost"]}
	v.AvgMS, v.P95MS = timesOf(q.Times)
	_, v.P95WaitMS = timesOf(q.Waits)
	return v
}

// worked is who works a queue.
type worked struct{ processes, places int }

func workedQueues(workers []store.WorkerProcess) map[string]worked {
	byName := make(map[string]worked)
	for _, p := range workers {
		for name, places := range p.Places() {
			w := byName[name]
			w.processes, w.places = w.processes+1, w.places+places
			byName[name] = w
		}
	}
	return byName
}

func tenth(seconds *float64) *float64 {
	if seconds == nil {
		return nil
	}
	r := roundTo(max(0, *seconds), 1)
	return &r
}
