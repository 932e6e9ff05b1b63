package api

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

const (
	newsPause = time.Second     // between two events of changes
	newsLook  = 5 * time.Second // between two looks of a stream, for what no hint tells of
	newsLife  = 5 * time.Minute // of a stream; whoever still listens comes again, if he still may
)

// jobNews are sorts of things that change with any job.
var jobNews = []string{"jobs", "queues", "failures", "kinds", "chain"}

// newsOf says which sorts of things the pages show out of a table.
var newsOf = map[string][]string{
	"jobs": jobNews, "river_job": jobNews, "job_attempts": jobNews, "job_events": {"chain"}, "job_effects": {"chain"},
	"failure_groups": {"failures"}, "river_queue": {"queues"}, "queue_minutes": {"queues"}, "queue_states": {"queues"}, "kind_minutes": {"queues", "kinds"},
	"worker_processes": {"workers"}, "river_leader": {"workers"}, "samplers": {"workers"}, "schedules": {"schedules"},
	"outbox": {"events", "chain"}, "dead_events": {"events"}, "consumer_positions": {"events"},
	"webhook_endpoints": {"webhooks"}, "webhook_deliveries": {"webhooks", "chain"}, "webhook_attempts": {"webhooks", "chain"}, "webhook_lanes": {"webhooks"},
	"ai_calls": {"ai", "chain"}, "ai_calls_begun": {"ai"}, "ai_budgets": {"ai"},
	"mail_messages": {"mail", "chain"}, "mail_recipients": {"mail"}, "mail_events": {"mail", "chain"}, "mail_suppressions": {"mail"},
	"backups": {"backups"}, "index_sample_runs": {"indexes"}, "audit_log": {"audit"}, "admin_sessions": {"sessions"},
	"api_keys": {"sessions"}, "admin_views": {"jobs"}, "bulk_actions": {"bulk"}, "bulk_items": {"bulk"},
}

// followAll streams which sorts of things have changed: of jobs at once, of others within seconds. It carries no data;
// whoever shows such things reads them again. A beat says that a look was made; when none comes, what is shown is old.
func (s *Server) followAll(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	if !s.streams.enter(x.caller.KeyID) {
		return refuse("too_many_streams", "the key follows "+strconv.Itoa(maxStreams)+" streams already").with("Retry-After", "5")
	}
	defer s.streams.leave(x.caller.KeyID)
	hints, stop := s.Hints.Jobs()
	defer stop()
	n := &news{server: s, pending: make(map[string]bool)}
	if err := n.look(r.Context()); err != nil {
		return err
	}
	startStream(w)
	if r.Method != http.MethodHead {
		n.stream(r.Context(), w, hints)
	}
	return nil
}

// news gathers what changed until it may be told.
type news struct {
	server  *Server
	seen    map[string]int64
	pending map[string]bool
	out     bytes.Buffer
}

// look compares the tables with how they were.
func (n *news) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var now map[string]int64
	err := n.server.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		now, err = store.TableChanges(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if n.seen != nil {
		n.add("system") // figures of processes and servers stand in no table, and differ with each look
		for table, count := range now {
			if count != n.seen[table] {
				n.add(newsOf[table]...)
			}
		}
	}
	n.seen = now
	n.out.WriteString("event: beat\ndata: {}\n\n")
	return nil
}

func (n *news) add(what ...string) {
	for _, w := range what {
		n.pending[w] = true
	}
}

// tell renders what is pending.
func (n *news) tell() error {
	data, err := encode(operator.Changed{What: slices.Sorted(maps.Keys(n.pending))})
	if err != nil {
		return err
	}
	clear(n.pending)
	n.out.WriteString("event: changed\ndata: ")
	n.out.Write(bytes.TrimSpace(data))
	n.out.WriteString("\n\n")
	return nil
}

// stream sends until the listener has gone, the process is about to end, or the stream has lived long enough.
func (n *news) stream(ctx context.Context, w http.ResponseWriter, hints <-chan struct{}) {
	control := http.NewResponseController(w)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	ctx, cancel := context.WithTimeout(ctx, newsLife)
	defer cancel()
	looks := time.NewTicker(n.server.newsLook)
	defer looks.Stop()
	pause := time.NewTimer(0) // fires when the next event may be sent
	defer pause.Stop()
	free := false // the pause is over
	first := append([]byte(reconnect), n.out.Bytes()...)
	n.out.Reset()
	if !send(w, control, first) {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.server.draining:
			return
		case <-hints:
			n.add(jobNews...)
		case <-looks.C:
			if err := n.look(ctx); ctx.Err() != nil {
				return
			} else if err != nil {
				n.server.tellSparsely("stream of changes waits for the database", err)
			}
		case <-pause.C:
			free = true
		}
		if free && len(n.pending) > 0 {
			if err := n.tell(); err != nil {
				n.server.tellSparsely("change can't be told", err)
				return
			}
			free = false
			pause.Reset(newsPause)
		}
		if n.out.Len() > 0 && !send(w, control, n.out.Bytes()) {
			return
		}
		n.out.Reset()
	}
}

func documentLive(_ *Server, _ huma.API, op *huma.Operation) {
	text := &huma.Schema{Type: huma.TypeString}
	op.Description += ` The event changed, at most once a second, has {"what":["jobs","queues"]} as its data: sorts of things of which some ` +
		`have changed. The event beat, every five seconds, says that nothing was missed until then. The stream ends after five minutes; come again.`
	op.Responses["200"] = &huma.Response{Description: "A stream of server-sent events",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: text}}}
}
