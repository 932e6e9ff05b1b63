package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/store"
)

const (
	maxStreams    = 100 // of one key at once
	heartbeat     = 15 * time.Second
	streamPage    = 500 // stored events that are read at once
	reconnect     = "retry: 1000\n\n"
	lookTimeout   = 10 * time.Second
	streamTimeout = 30 * time.Second // until a client that reads nothing is given up
)

// followJob streams what happens to a job, numbered. Number 1 is the status with which every job begins,
// the stored events follow from 2, and the end has the number behind the last. The first and the last are
// made of the job and stored nowhere. A client that says which number it saw last goes on behind it.
func (s *Server) followJob(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.follow(w, r, x.caller.KeyID, x.caller.OrganizationID, id)
}

// follow streams a job of an organization to the holder of a key.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, keyID, organizationID, id string) error {
	seen, err := lastEventID(r)
	if err != nil {
		return err
	}
	if !s.streams.enter(keyID) {
		return refuse("too_many_streams", "the key follows "+strconv.Itoa(maxStreams)+" jobs already").with("Retry-After", "5")
	}
	defer s.streams.leave(keyID)
	// Before the first look, so that no change is missed between.
	changed, stop := s.Hints.Job(id)
	defer stop()
	f := &follower{server: s, organizationID: organizationID, id: id, seen: seen}
	if err := f.look(r.Context()); err != nil {
		return err
	}
	if f.ended && f.out.Len() == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	startStream(w)
	if r.Method == http.MethodHead {
		return nil
	}
	f.stream(r.Context(), w, changed)
	return nil
}

// lastEventID reads what the client saw last: the header that EventSource sends, or the query for
// clients that can't set it.
func lastEventID(r *http.Request) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("last_event_id")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, refuse("invalid_header", "Last-Event-ID is the number of an event")
	}
	return n, nil
}

func startStream(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
}

// A follower reads a job's events and renders those that its client has not seen.
type follower struct {
	server         *Server
	organizationID string
	id             string
	seen           int64 // number of the last event that was rendered or that the client has
	ended          bool  // the last event was rendered, or is one that the client has
	out            bytes.Buffer
}

// look renders all that is new. The job is read before its events, each statement seeing what was
// committed before it began: a job that has ended thus comes with all of its events. Reading begins at
// the event that was seen last, which tells a client that has seen the last stored one, and waits for
// the end, from a client that has seen the end.
func (f *follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	behind, stored := max(f.seen-1, 1), f.seen <= 1
	for {
		j, page, err := f.server.DB.JobWithEvents(ctx, f.organizationID, f.id, behind, streamPage)
		if err != nil {
			return err
		}
		if f.seen == 0 {
			if err := f.job(1, "status", asQueued(j)); err != nil {
				return err
			}
		}
		for _, e := range page {
			behind, stored = e.Seq, true
			if e.Seq <= f.seen {
				continue
			}
			if err := f.stored(e, j); err != nil {
				return err
			}
		}
		if len(page) == streamPage {
			continue
		}
		if f.ended = j.Terminal(); f.ended && stored {
			f.server.settle(ctx, j)
			return f.job(f.seen+1, "done", j)
		}
		return nil
	}
}

// stored renders an event of a worker. Its status says what was different then; the rest is the job.
func (f *follower) stored(e store.JobEvent, j store.Job) error {
	if e.Type != "status" {
		f.event(e.Seq, e.Type, e.Data)
		return nil
	}
	var then struct {
		Status    string       `json:"status"`
		Attempt   int          `json:"attempt"`
		StartedAt *time.Time   `json:"started_at"`
		Waiting   *waitingView `json:"waiting"`
	}
	if err := json.Unmarshal(e.Data, &then); err != nil {
		return fmt.Errorf("read event %d of job %s: %w", e.Seq, j.ID, err)
	}
	view := viewOf(j)
	view.Status, view.Attempt, view.StartedAt, view.Waiting = then.Status, then.Attempt, then.StartedAt, then.Waiting
	view.Output, view.Error, view.FinishedAt = nil, nil, nil
	data, err := encode(view)
	if err != nil {
		return err
	}
	f.event(e.Seq, e.Type, data)
	return nil
}

// asQueued is a job as it was when it was handed over.
func asQueued(j store.Job) store.Job {
	j.Status, j.Attempt, j.Output, j.Error, j.Progress = store.Queued, 0, nil, nil, nil
	j.WaitingReason, j.NextAttemptAt, j.StartedAt, j.FinishedAt = nil, nil, nil, nil
	return j
}

func (f *follower) job(number int64, kind string, j store.Job) error {
	data, err := encode(viewOf(j))
	if err != nil {
		return err
	}
	f.event(number, kind, data)
	return nil
}

func (f *follower) event(number int64, kind string, data []byte) {
	f.seen = number
	f.out.WriteString("id: " + strconv.FormatInt(number, 10) + "\nevent: " + kind + "\n")
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		f.out.WriteString("data: ")
		f.out.Write(bytes.TrimSuffix(line, []byte("\r")))
		f.out.WriteByte('\n')
	}
	f.out.WriteByte('\n')
}

// stream sends until the job has ended, the client has gone, or the process is about to end.
func (f *follower) stream(ctx context.Context, w http.ResponseWriter, changed <-chan struct{}) {
	control := http.NewResponseController(w)
	// The connection may serve other requests, whose deadlines are not this one's.
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	beat := time.NewTicker(f.server.beat)
	defer beat.Stop()
	poll := time.NewTicker(jobPoll)
	defer poll.Stop()
	first := append([]byte(reconnect), f.out.Bytes()...)
	f.out.Reset()
	if !send(w, control, first) {
		return
	}
	for !f.ended {
		select {
		case <-ctx.Done():
			return
		case <-f.server.draining:
			return
		case <-beat.C:
			f.out.WriteString(": still here\n\n")
		case <-changed:
		case <-poll.C:
		}
		if err := f.look(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			// The status line is out. What is new is sent when it can be read again.
			f.server.tellSparsely("stream waits for the database", err, "job_id", f.id)
		}
		if f.out.Len() > 0 && !send(w, control, f.out.Bytes()) {
			return
		}
		f.out.Reset()
	}
}

// send writes and flushes. The deadline replaces the server's, which is meant for answers that end.
func send(w http.ResponseWriter, control *http.ResponseController, b []byte) bool {
	// Not every writer has a connection below it; a recorder in a test has none.
	_ = control.SetWriteDeadline(time.Now().Add(streamTimeout))
	if _, err := w.Write(b); err != nil {
		return false
	}
	return control.Flush() == nil
}

// streamCount counts the streams of each key.
type streamCount struct {
	mu sync.Mutex
	of map[string]int
}

func (c *streamCount) enter(keyID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]int)
	}
	if c.of[keyID] >= maxStreams {
		return false
	}
	c.of[keyID]++
	return true
}

func (c *streamCount) leave(keyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[keyID]--; c.of[keyID] == 0 {
		delete(c.of, keyID)
	}
}

// A streamEvent is a kind of what a client that follows a job is sent.
type streamEvent struct{ Name, Data, Meaning string }

// streamEvents are the vocabulary of a stream, for the documents.
var streamEvents = []streamEvent{
	{"status", "the job", "At first, as it was when it was handed over; then whenever it begins, waits or goes on."},
	{"provider", `{"provider","model","reason"}`, "Which model is asked now. The reason says why it is not the first choice, and is null if it is."},
	{"token", `{"text"}`, "A piece of the answer's text, to be put behind the pieces before."},
	{"reset", `{"provider","reason"}`, "The pieces so far are void, as the answer begins anew. The provider is the one that writes next, if that is known already. With the reason polished or repaired the whole text, mended, follows."},
	{"progress", `{"done","total"}`, "How much of how much is done."},
	{"done", "the job", "The last: the job has ended, with its output or error."},
}

func documentFollow(_ *Server, _ huma.API, op *huma.Operation) {
	text := &huma.Schema{Type: huma.TypeString}
	var events []string
	for _, e := range streamEvents {
		events = append(events, e.Name+" ("+e.Data+")")
	}
	op.Description += " Events, and what their data is: " + strings.Join(events, ", ") + "."
	op.Parameters = append(op.Parameters,
		&huma.Param{Name: "id", In: "path", Required: true, Schema: text},
		&huma.Param{Name: "Last-Event-ID", In: "header", Schema: text, Description: "Number of the last event seen"},
		&huma.Param{Name: "last_event_id", In: "query", Schema: text, Description: "The same, for clients that can't set headers"})
	op.Responses["200"] = &huma.Response{Description: "A stream of server-sent events",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: text}}}
	op.Responses["204"] = &huma.Response{Description: "The job has ended and the client has seen all of it"}
}
