package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
)

// A worker that dies in the middle of an answer leaves text behind that clients have read. Whoever follows the
// job, in one piece or in many, is told that it does not count, and reads the whole answer once.
func TestAWorkerDiesInTheMiddleOfAnAnswer(t *testing.T) {
	t.Parallel()
	model := faults.New(t, localstack.TestOllama(t).URL()).Every(faults.Pace(400 * time.Millisecond))
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Withdrawn")
	s.relay("relay")
	first := s.worker("worker-1", "OLLAMA_URL="+model.URL)
	submitted := time.Now()
	id := own.submit(t, "ai.completion", `{"prompt":"Tell a story.","model":"tiny-slow","mode":"relaxed","max_tokens":60}`).ID

	begun := make(chan struct{})
	steady, restless := &transcript{begun: begun}, &transcript{}
	var reading errgroup.Group
	reading.Go(func() error { return own.transcribe(t, id, steady, 0) })
	reading.Go(func() error { return own.transcribe(t, id, restless, 4) })
	must(t, "the answer begins", receive(within(t, time.Minute), begun, 1))
	second := s.worker("worker-2", "OLLAMA_URL="+model.URL)
	_, err := second.says(within(t, 20*time.Second), "worker works")
	must(t, "the second worker", err)

	model.Every(faults.Pace(20 * time.Millisecond))
	killed := time.Now()
	first.kill()
	must(t, "the streams end", reading.Wait())
	j := own.done(t, id, 20*time.Second)
	if j.Attempt != 2 {
		t.Errorf("the job took %d attempts, want 2", j.Attempt)
	}
	if text := j.answer(t).Text; strings.Count(text, " ") < 20 {
		t.Errorf("the answer is %q, want 60 tokens", text)
	}
	for name, read := range map[string]*transcript{"in one piece": steady, "in many": restless} {
		if err := read.tellsOnce(j.answer(t).Text); err != nil {
			t.Errorf("whoever reads %s: %v\n%s", name, err, read)
		}
	}
	if restless.cuts < 3 {
		t.Errorf("the stream was cut %d times, want more", restless.cuts)
	}
	t.Logf("the second attempt began %s after the kill", steady.resetAt.Sub(killed).Round(time.Millisecond))
	if d := steady.resetAt.Sub(killed); d <= 0 || d > 30*time.Second {
		t.Errorf("the text was withdrawn %s after the kill, want 30 s at most", d)
	}
	must(t, "nothing is left to tell", own.toldAll(t, id, steady.last()))
	bothCalls(t, pool, id, killed.Sub(submitted))
	must(t, "audit", audit(t.Context(), pool, organization, []string{id}))
}

// bothCalls wants a record of the call that nobody saw end, and of the one that answered.
func bothCalls(t *testing.T, pool *pgxpool.Pool, id string, most time.Duration) {
	t.Helper()
	calls, err := pool.Query(t.Context(), `SELECT attempt || ':' || outcome FROM ai_calls WHERE job_id = $1 ORDER BY attempt`, id)
	must(t, "read the calls", err)
	list, err := pgx.CollectRows(calls, pgx.RowTo[string])
	must(t, "read the calls", err)
	// The model never ends by itself, so its answer was cut where the client wanted it cut.
	if want := []string{"1:lost", "2:length"}; !slices.Equal(list, want) {
		t.Errorf("calls %q, want %q", list, want)
	}
	var left, ran int
	err = pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM ai_calls_begun),
		(SELECT run_ms FROM ai_calls WHERE job_id = $1 AND outcome = 'lost')`, id).Scan(&left, &ran)
	must(t, "read the calls under way", err)
	if left != 0 || ran == 0 || time.Duration(ran)*time.Millisecond > most {
		t.Errorf("%d calls are under way, and the lost one ran for %d ms of %s", left, ran, most)
	}
}

// A transcript is all that a client was told of a job.
type transcript struct {
	events  []event
	resetAt time.Time
	cuts    int
	begun   chan struct{} // closed after some tokens; nil: nobody wants to know
}

// transcribe reads the events of a job to the end, and begins a new connection after so many of them; 0: never.
func (c *client) transcribe(t *testing.T, id string, into *transcript, each int) error {
	ctx := within(t, 2*time.Minute)
	tokens := 0
	for {
		read := c.follow(t, id, into.last())
		for n := 0; each == 0 || n < each; n++ {
			e, err := read.next(ctx)
			if err != nil {
				return err
			}
			into.events = append(into.events, e)
			switch e.kind {
			case "reset":
				into.resetAt = time.Now()
			case "token":
				// By then the worker has given a sign of life since the call began: one comes every two seconds.
				if tokens++; tokens == 8 && into.begun != nil {
					close(into.begun)
				}
			case "done":
				read.close()
				return nil
			}
		}
		read.close()
		into.cuts++
	}
}

// last is the number of the event that was read last.
func (r *transcript) last() string {
	if len(r.events) == 0 {
		return ""
	}
	return r.events[len(r.events)-1].id
}

// tellsOnce wants text that is withdrawn once, then the whole answer, and numbers without a gap.
func (r *transcript) tellsOnce(answer string) error {
	withdrawn, text, resets := "", "", 0
	for i, e := range r.events {
		if e.id != strconv.Itoa(i+1) {
			return fmt.Errorf("event %d has the number %s", i+1, e.id)
		}
		switch e.kind {
		case "token":
			text += e.text
		case "reset":
			withdrawn, text = text, ""
			resets++
		}
	}
	switch {
	case resets != 1:
		return fmt.Errorf("%d resets, want 1", resets)
	case withdrawn == "":
		return fmt.Errorf("nothing was read before the reset")
	case text != answer:
		return fmt.Errorf("the text after the reset is %q, the answer %q", text, answer)
	case r.events[len(r.events)-1].kind != "done":
		return fmt.Errorf("it does not end with done")
	}
	return nil
}

// String is the events by number and kind.
func (r *transcript) String() string {
	var b strings.Builder
	for _, e := range r.events {
		text, _ := json.Marshal(e.text)
		fmt.Fprintf(&b, "%s %s %s\n", e.id, e.kind, text)
	}
	return b.String()
}

// toldAll wants a client that comes back after the end to be told that there is no more.
func (c *client) toldAll(t *testing.T, id, last string) error {
	r, err := c.call(t.Context(), http.MethodGet, "/api/jobs/"+id+"/events", "", "Last-Event-ID", last)
	if err == nil && r.status != http.StatusNoContent {
		err = fmt.Errorf("it answers %d, want 204", r.status)
	}
	return err
}
