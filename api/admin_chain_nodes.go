package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// chainMaker makes the steps of a chain of what a walk has found.
type chainMaker struct {
	*chainWalk
	places map[string]LoggedPlace // of events
	nodes  []operator.ChainNode
	at     map[string]int // place of a node by its id
	runs   map[string]string
}

func (m *chainMaker) node(n operator.ChainNode, organizationID, causedBy string) {
	if _, there := m.at[n.ID]; there {
		return
	}
	n.OrganizationID, n.CausedBy = orNull(organizationID), orNull(causedBy)
	n.At, n.EndedAt = n.At.UTC(), utc(n.EndedAt)
	if n.Details == nil {
		n.Details = []operator.ChainDetail{}
	}
	if n.Log == nil {
		n.Log = []operator.LogLine{}
	}
	m.at[n.ID] = len(m.nodes)
	m.nodes = append(m.nodes, n)
}

// details lists what has a value.
func details(pairs ...string) []operator.ChainDetail {
	list := []operator.ChainDetail{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" && pairs[i+1] != "0" {
			list = append(list, operator.ChainDetail{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return list
}

func (m *chainMaker) make() {
	m.at, m.runs = make(map[string]int), make(map[string]string)
	for _, e := range m.events {
		if e.Type == "job.requested" {
			m.runs[e.Subject+"/"+strconv.Itoa(e.Run)] = "event:" + e.ID
		}
	}
	m.requestNodes()
	m.eventNodes()
	m.jobNodes()
	m.attemptNodes()
	m.callNodes()
	m.mailNodes()
	m.riverNodes()
	m.deliveryNodes()
}

// requestNodes makes a node of each request that facts or jobs name.
func (m *chainMaker) requestNodes() {
	first := make(map[string]store.ChainEvent)
	for _, e := range m.events {
		if f, there := first[e.RequestID]; e.RequestID != "" && e.CausationID == "" && (!there || e.CreatedAt.Before(f.CreatedAt)) {
			first[e.RequestID] = e
		}
	}
	for id, e := range first {
		n := operator.ChainNode{ID: "request:" + id, Type: "request", Ref: id, At: e.CreatedAt, Title: e.Route, State: "accepted",
			Details: details("request id", id, "trace", traceOf(e.TraceParent), "key", e.KeyID, "organization", e.OrganizationID)}
		if n.Title == "" {
			n.Title = "A request"
		}
		if e.AskedAt != nil && e.AskedAt.Before(e.CreatedAt) {
			n.At = *e.AskedAt
		}
		m.node(n, e.OrganizationID, "")
	}
	for _, j := range m.jobs {
		if j.RequestID != "" && j.StartedBy == "" {
			m.node(operator.ChainNode{ID: "request:" + j.RequestID, Type: "request", Ref: j.RequestID, At: j.CreatedAt, Title: "A request", State: "accepted",
				Details: details("request id", j.RequestID, "trace", traceOf(j.TraceParent))}, j.OrganizationID, "")
		}
	}
}

func traceOf(traceParent string) string {
	if !validTraceParent(traceParent) {
		return ""
	}
	return traceParent[3:35]
}

func (m *chainMaker) eventNodes() {
	for _, e := range m.events {
		n := operator.ChainNode{ID: "event:" + e.ID, Type: "event", Ref: e.ID, At: e.CreatedAt, Title: e.Type, State: "stated",
			Details: details("event", e.ID, "subject", e.Subject, "version", strconv.FormatInt(e.Version, 10), "outbox", e.XID+"/"+strconv.FormatInt(e.Place, 10))}
		if p := m.places[e.ID]; p.Seq > 0 {
			n.State = "published"
			n.Details = append(n.Details, details("stream", "seq:"+strconv.FormatUint(p.Seq, 10), "published after", spanText(p.At.Sub(e.CreatedAt)))...)
		}
		n.Bad = e.Type == "job.failed" || e.Type == "mail.failed" || e.Type == "mail.bounced" || e.Type == "mail.complained" ||
			e.Type == "mail.unknown" || e.Type == "backup.failed" || e.Type == "webhook.disabled"
		m.node(n, e.OrganizationID, m.causeOf(e))
	}
}

// spanText is a span of time to be read.
func spanText(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
}

// causeOf is the node that led to an event: the attempt or the work in which it was stated, the event that asked for
// it, or the request.
func (m *chainMaker) causeOf(e store.ChainEvent) string {
	if e.CausationID == "" {
		if e.RequestID == "" {
			return ""
		}
		return "request:" + e.RequestID
	}
	cause, known := m.events[e.CausationID]
	if known && cause.Type == "job.requested" {
		if j, ok := m.jobs[cause.Subject]; ok && e.Type != "job.requested" {
			return m.attemptAt(j, e.CreatedAt)
		}
	}
	if handed, ok := m.jobs[e.Subject]; ok && e.Type == "job.requested" {
		for _, r := range m.river {
			if r.EventID == e.CausationID && r.Kind == handed.Kind {
				return riverNode(r)
			}
		}
	}
	if known {
		return "event:" + e.CausationID
	}
	return ""
}

func (m *chainMaker) jobNodes() {
	for _, j := range m.jobs {
		n := operator.ChainNode{ID: "job:" + j.ID, Type: "job", Ref: j.ID, At: j.CreatedAt, EndedAt: j.FinishedAt, Title: j.Kind, State: j.Status,
			Bad: j.Status == store.Failed, Error: problemText(j.ErrorCode, j.Error),
			Details: details("job", j.ID, "queue", j.Queue, "run", moreThanOne(j.Run), "attempts", fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts), "started by", j.StartedBy)}
		if j.RiverJobID != nil {
			n.Details = append(n.Details, details("river", strconv.FormatInt(*j.RiverJobID, 10))...)
			if r, ok := m.atWork[*j.RiverJobID]; ok && j.Run == 1 {
				n.Details = append(n.Details, details("routed after", spanText(r.CreatedAt.Sub(j.CreatedAt)))...)
			}
		}
		if j.Status == store.Queued && j.RunAt.After(time.Now()) {
			n.State = "scheduled"
		}
		if j.Waiting != "" && j.FinishedAt == nil {
			n.State, n.Details = "waiting", append(n.Details, details("waits for", j.Waiting)...)
		}
		cause := m.runs[j.ID+"/1"]
		if asked, ok := m.events[strings.TrimPrefix(cause, "event:")]; ok && asked.CreatedAt.After(n.At) {
			n.At = asked.CreatedAt // what a fact made has an id, and a time, of that fact
		}
		if cause == "" && j.RequestID != "" {
			cause = "request:" + j.RequestID
		}
		m.node(n, j.OrganizationID, cause)
	}
}

func moreThanOne(n int) string {
	if n <= 1 {
		return ""
	}
	return strconv.Itoa(n)
}

func problemText(code, detail string) *string {
	return orNull(strings.Trim(code+": "+detail, ": "))
}

// attemptNodes are those that were written down, and the last one of a job, of which the job's own row tells.
func (m *chainMaker) attemptNodes() {
	for _, a := range m.attempts {
		n := operator.ChainNode{ID: attemptNode(a.JobID, a.Run, a.Attempt, a.EndedAt), Type: "attempt", Ref: a.JobID, At: a.EndedAt, EndedAt: &a.EndedAt,
			Title: fmt.Sprintf("Attempt %d", a.Attempt), State: a.Outcome, Bad: a.Outcome == "failed" || a.Outcome == "retried" || a.Outcome == "lost",
			Error: problemText(a.Code, a.Error), Details: details("run", moreThanOne(a.Run), "worker", a.Worker, "trace", a.TraceID), Log: logOf(a.Log)}
		if a.StartedAt != nil {
			n.At = *a.StartedAt
		}
		if a.RiverJobID != nil {
			n.Details = append(n.Details, details("river", strconv.FormatInt(*a.RiverJobID, 10))...)
		}
		m.node(n, a.OrganizationID, m.runOf(a.JobID, a.Run))
	}
	for _, j := range m.jobs {
		if last, ok := m.lastAttempt(j); ok {
			m.node(last, j.OrganizationID, m.runOf(j.ID, j.Run))
		}
	}
}

func attemptNode(jobID string, run, attempt int, ended time.Time) string {
	return fmt.Sprintf("attempt:%s/%d/%d/%d", jobID, run, attempt, ended.UnixMicro())
}

// runOf is the job, or the event by which it was asked for once more.
func (m *chainMaker) runOf(jobID string, run int) string {
	if again := m.runs[jobID+"/"+strconv.Itoa(run)]; run > 1 && again != "" {
		return again
	}
	return "job:" + jobID
}

// lastAttempt is the attempt that goes on, or that succeeded, unless it was written down like others.
func (m *chainMaker) lastAttempt(j store.ChainJob) (operator.ChainNode, bool) {
	written := slices.ContainsFunc(m.attempts, func(a store.ChainAttempt) bool {
		return a.JobID == j.ID && a.Run == j.Run && a.Attempt == j.Attempt && a.Outcome != "waiting"
	})
	if written || j.StartedAt == nil || j.Attempt == 0 || j.Status != store.Running && j.Status != store.Succeeded || j.Waiting != "" {
		return operator.ChainNode{}, false
	}
	at := *j.StartedAt
	if j.RiverJobID != nil {
		if r, ok := m.atWork[*j.RiverJobID]; ok && r.AttemptedAt != nil && r.AttemptedAt.After(at) {
			at = *r.AttemptedAt
		}
	}
	return operator.ChainNode{ID: fmt.Sprintf("attempt:%s/%d/%d", j.ID, j.Run, j.Attempt), Type: "attempt", Ref: j.ID, At: at, EndedAt: j.FinishedAt,
		Title: fmt.Sprintf("Attempt %d", j.Attempt), State: j.Status, Details: details("run", moreThanOne(j.Run))}, true
}

// attemptAt is the attempt at a job that was under way at a moment, or the job.
func (m *chainMaker) attemptAt(j store.ChainJob, at time.Time) string {
	const slack = 50 * time.Millisecond // a transaction's time is that of its beginning
	for _, a := range m.attempts {
		if a.JobID == j.ID && a.StartedAt != nil && !at.Before(a.StartedAt.Add(-slack)) && !at.After(a.EndedAt.Add(slack)) {
			return attemptNode(a.JobID, a.Run, a.Attempt, a.EndedAt)
		}
	}
	if last, ok := m.lastAttempt(j); ok && !at.Before(last.At.Add(-slack)) && (last.EndedAt == nil || !at.After(last.EndedAt.Add(slack))) {
		return last.ID
	}
	return "job:" + j.ID
}
