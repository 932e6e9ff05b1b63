package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// answer is what the tests look at of an AI job's output.
type answer struct {
	Text           string  `json:"text"`
	Provider       string  `json:"provider"`
	FallbackReason *string `json:"fallback_reason"`
}

func (j job) answer(t *testing.T) answer {
	t.Helper()
	var a answer
	must(t, "read the output", json.Unmarshal(j.Output, &a))
	return a
}

// offices are where the model and its fallback are, for the processes.
func offices(ollama, groq *localstack.Ollama) []string {
	env := []string{"OLLAMA_URL=" + ollama.URL()}
	if groq != nil {
		env = append(env, "GROQ_BASE_URL="+groq.URL()+"/v1", "GROQ_API_KEY_FALLBACK=test")
	}
	return env
}

// warm has models in memory before they are asked: who waits for an answer gives them seconds for the first word.
func warm(t *testing.T, at ...*localstack.Ollama) {
	t.Helper()
	for _, o := range at {
		must(t, "load the model", o.Load(within(t, time.Minute), "tiny"))
	}
}

// thanks asks each time anew, as the tests are about who answers.
const thanks = `{"prompt":"Thank a customer for paying.","max_tokens":40,"cache":"no-store"}`

func TestTheModelFailsOver(t *testing.T) {
	t.Parallel()
	ollama, groq := localstack.NewOllama(t), localstack.NewOllama(t)
	warm(t, ollama, groq)
	s := newStack(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Answered")
	s.relay("relay")
	s.worker("worker", offices(ollama, groq)...)

	first := own.done(t, own.submit(t, "ai.completion", thanks).ID, time.Minute).answer(t)
	if first.Provider != "ollama" || first.FallbackReason != nil || first.Text == "" {
		t.Fatalf("with both there: %+v", first)
	}

	s.stop(ollama)
	began := time.Now()
	second := own.done(t, own.submit(t, "ai.completion", thanks).ID, time.Minute).answer(t)
	if second.Provider != "groq" || second.FallbackReason == nil || *second.FallbackReason == "" || second.Text == "" {
		t.Fatalf("without Ollama: %+v", second)
	}
	took(t, "the fallback answered, as Ollama was "+*second.FallbackReason, began, 15*time.Second)

	s.stop(groq)
	id := own.submit(t, "ai.completion", thanks).ID
	waits := own.until(t, id, time.Minute, "waits", func(j job) bool { return j.Waiting != nil })
	t.Logf("it waits: %s, next attempt at %s", waits.Waiting.Reason, waits.Waiting.NextAttemptAt)
	if waits.Waiting.NextAttemptAt == nil || !strings.Contains(waits.Waiting.Reason, "Ollama") ||
		!strings.Contains(waits.Waiting.Reason, "Groq") {
		t.Errorf("without either it does not say what for: %+v", waits.Waiting)
	}

	must(t, "start Ollama again", ollama.Start(within(t, time.Minute)))
	back := time.Now()
	third := own.done(t, id, 2*time.Minute).answer(t)
	took(t, "the job that waited was done", back, 75*time.Second)
	if third.Provider != "ollama" {
		t.Errorf("after Ollama is back: %+v", third)
	}
}

func TestCancellingStopsTheModel(t *testing.T) {
	t.Parallel()
	ollama := localstack.NewOllama(t)
	s := newStack(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Impatient")
	s.relay("relay")
	s.worker("worker", offices(ollama, nil)...)
	id := own.submit(t, "ai.completion", `{"prompt":"Never end.","model":"tiny-slow","mode":"relaxed","max_tokens":32768}`).ID
	read := own.follow(t, id, "")
	must(t, "the answer begins", read.until(within(t, time.Minute), "token"))
	read.close()
	if !busy(t, ollama, time.Second) {
		t.Fatal("the model writes an answer, but its runner takes no processor time")
	}
	r, err := own.call(t.Context(), http.MethodPost, "/api/jobs/"+id+"/cancel", "")
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("cancel: %d %s %v", r.status, r.body, err)
	}
	cancelled := time.Now()
	must(t, "the model rests", eventually(within(t, 20*time.Second), func(context.Context) error {
		if busy(t, ollama, 300*time.Millisecond) {
			return fmt.Errorf("the runner works on")
		}
		return nil
	}))
	took(t, "the runner rested", cancelled, 5*time.Second)
	if j, err := own.job(t.Context(), id); err != nil || j.Status != "cancelled" {
		t.Errorf("the job is %+v, %v", j, err)
	}
}

// busy reports whether the runners of an Ollama use the processor.
func busy(t *testing.T, o *localstack.Ollama, over time.Duration) bool {
	t.Helper()
	before := runnerTicks(o.Pid())
	must(t, "pause", pause(t.Context(), over))
	// A resting runner wakes now and then; a writing one takes most of a processor.
	return runnerTicks(o.Pid())-before > int(over/time.Second*10)+3
}

// runnerTicks is the processor time of the children of a process, in hundredths of a second (proc(5)).
func runnerTicks(parent int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	total := 0
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) < 13 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		for _, i := range []int{11, 12} {
			n, _ := strconv.Atoi(fields[i])
			total += n
		}
	}
	return total
}

func TestACutStreamGoesOnWithoutAGap(t *testing.T) {
	t.Parallel()
	ollama := localstack.NewOllama(t)
	s := newStack(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Cut")
	s.relay("relay")
	s.worker("worker", offices(ollama, nil)...)
	id := own.submit(t, "ai.completion", `{"prompt":"Tell a story.","model":"tiny-slow","mode":"relaxed","max_tokens":60}`).ID

	var text strings.Builder
	last, cuts := "", 0
	for done := false; !done; cuts++ {
		read := own.follow(t, id, last)
		for tokens := 0; tokens < 3 && !done; {
			e, err := read.next(within(t, time.Minute))
			must(t, "read the stream", err)
			last = e.id
			switch e.kind {
			case "token":
				tokens++
				text.WriteString(e.text)
			case "reset":
				text.Reset()
			case "done":
				done = true
			}
		}
		read.close()
	}
	t.Logf("the stream was cut %d times", cuts-1)
	if cuts < 3 {
		t.Errorf("the stream was read in %d pieces, want more", cuts)
	}
	j, err := own.job(t.Context(), id)
	must(t, "read the job", err)
	// The model never ends by itself, so the limit cuts it: what it wrote is kept with the failure.
	var out struct {
		Text    string `json:"text"`
		Invalid string `json:"invalid_answer"`
	}
	must(t, "read the output", json.Unmarshal(j.Output, &out))
	if final := out.Text + out.Invalid; final == "" || final != text.String() {
		t.Errorf("job %s (%+v): the stream adds up to\n%q, the result is\n%q", j.Status, j.Error, text.String(), final)
	}
}

// A stream is a client that follows a job.
type stream struct {
	body  *http.Response
	lines *bufio.Scanner
}

// An event is one of a stream.
type event struct{ id, kind, text string }

func (c *client) follow(t *testing.T, id, last string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.base+"/api/jobs/"+id+"/events", nil)
	must(t, "follow", err)
	req.Header.Set("Authorization", "Bearer "+c.key)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	must(t, "follow", err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("follow %s from %q: %s", id, last, resp.Status)
	}
	return &stream{body: resp, lines: bufio.NewScanner(resp.Body)}
}

func (s *stream) close() { _ = s.body.Body.Close() }

// next reads one event.
func (s *stream) next(ctx context.Context) (event, error) {
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	var e event
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case name == "id":
			e.id = value
		case name == "event":
			e.kind = value
		case name == "data" && e.kind == "token":
			var token struct {
				Text string `json:"text"`
			}
			if err := json.Unmarshal([]byte(value), &token); err != nil {
				return e, err
			}
			e.text = token.Text
		case name == "" && e.kind != "":
			return e, nil
		}
	}
	return e, fmt.Errorf("the stream ended: %w", s.lines.Err())
}

// until reads on to an event of a kind.
func (s *stream) until(ctx context.Context, kind string) error {
	for {
		e, err := s.next(ctx)
		if err != nil || e.kind == kind {
			return err
		}
	}
}
