package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

const (
	// aiQuick is asked one at a time, where the model's own time only blurs what is measured.
	aiQuick       = "tiny"
	aiQuickTokens = 8
	// aiSlow takes long enough to be worth a queue, and never ends by itself.
	aiSlow       = "tiny-slow"
	aiSlowTokens = 32
	// aiParallel is OLLAMA_PARALLEL, and what Ollama itself is told.
	aiParallel = 2
	aiPairs    = 60
	aiTurns    = 3
)

// ai measures what the product adds to a model's own time, beside a client that asks the same Ollama the same.
func (b *bench) ai(ctx context.Context) error {
	if _, err := localstack.FindOllama(); err != nil {
		if slices.Contains(b.Only, "ai") {
			return err
		}
		b.add(row{what: "AI jobs", value: "not measured", against: err.Error()})
		return nil
	}
	ollama, err := localstack.StartTinyOllama(ctx, filepath.Join(b.dir, "ollama"), fmt.Sprintf("OLLAMA_NUM_PARALLEL=%d", aiParallel))
	if err != nil {
		return err
	}
	defer b.stop(ollama.Stop)
	s, err := b.start(ctx, "bench_ai", everything, func(s *stackSetup) {
		s.worker.queues[jobs.AI.Name] = jobs.AI.Workers
		s.worker.model = model{parallel: aiParallel, chain: inference.Config{OllamaEnabled: true, OllamaURL: ollama.URL(),
			OllamaModels: inference.Models{Fast: aiQuick, Large: aiSlow}}}
	})
	if err != nil {
		return err
	}
	m := aiBench{bench: b, stack: s, bare: bareModel{url: ollama.URL()}}
	return errors.Join(m.run(ctx), s.stop())
}

// aiBench asks by the product and past it, in turns, so that whatever else the machine does hits both.
type aiBench struct {
	*bench
	stack *stack
	bare  bareModel
	asked int // prompts so far, each of which is another
}

func (m *aiBench) run(ctx context.Context) error {
	// Loads the model, on both ways.
	for range 3 {
		if _, _, err := m.pair(ctx); err != nil {
			return err
		}
	}
	if err := m.alone(ctx); err != nil {
		return err
	}
	return m.full(ctx)
}

func (m *aiBench) prompt() string {
	m.asked++
	// In front, so that the model's own cache knows none of it.
	return fmt.Sprintf("%06d: thank the customer for paying the invoice and name the next step.", m.asked)
}

// alone asks one prompt at a time.
func (m *aiBench) alone(ctx context.Context) error {
	var bare, ours, beyond latencies
	for range aiPairs {
		theirs, own, err := m.pair(ctx)
		if err != nil {
			return err
		}
		bare.add(theirs)
		ours.add(own)
		beyond.add(own - theirs)
	}
	m.add(row{what: "AI job beyond its model's time, idle, one at a time", value: beyond.String(),
		against: fmt.Sprintf("model alone p50 %.1f ms, job %.1f ms", millis(bare.at(0.5)), millis(ours.at(0.5))),
		target:  "p50 <= 15 ms", verdict: met(beyond.at(0.5) <= 15*time.Millisecond)})
	return nil
}

// pair asks the same twice, past the product and by it. They take turns in being the first, as the second finds the
// prompt in the model's own cache.
func (m *aiBench) pair(ctx context.Context) (bare, ours time.Duration, err error) {
	prompt := m.prompt()
	ways := []func(context.Context, string) (time.Duration, int, error){m.askBare, m.askOurs}
	var took [2]time.Duration
	var tokens [2]int
	for i := range ways {
		way := (m.asked + i) % 2
		if took[way], tokens[way], err = ways[way](ctx, prompt); err != nil {
			return 0, 0, err
		}
	}
	return took[0], took[1], sameWork(tokens[1], tokens[0])
}

func (m *aiBench) askBare(ctx context.Context, prompt string) (time.Duration, int, error) {
	began := time.Now()
	tokens, err := m.bare.ask(ctx, aiQuick, prompt, aiQuickTokens)
	return time.Since(began), tokens, err
}

// askOurs is the time from before the submit until the client has the answer.
func (m *aiBench) askOurs(ctx context.Context, prompt string) (time.Duration, int, error) {
	began := time.Now()
	j, err := m.stack.client.submit(ctx, "ai.completion", aiInput(aiQuick, prompt, aiQuickTokens), nil)
	if err != nil {
		return 0, 0, err
	}
	if j, err = m.stack.client.await(ctx, j.ID, time.Minute); err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	if j.Error != nil {
		return 0, 0, fmt.Errorf("job %s: %w", j.ID, j.Error)
	}
	var answer jobs.Answer
	if err := json.Unmarshal(j.Output, &answer); err != nil {
		return 0, 0, fmt.Errorf("read the answer: %w", err)
	}
	return took, answer.CompletionTokens, nil
}

// aiInput wants the answer from the model, whatever is kept.
func aiInput(model, prompt string, tokens int) map[string]any {
	return map[string]any{"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "cache": "no-store"}
}

// sameWork refuses to compare answers that took the model different work.
func sameWork(got, want int) error {
	if got != want {
		return fmt.Errorf("the model wrote %d tokens, not %d", got, want)
	}
	return nil
}

// full keeps the model busy: by a full queue, and by as many bare clients as it takes calls at a time.
func (m *aiBench) full(ctx context.Context) error {
	db, err := store.Open(ctx, store.PoolOptions{URL: m.stack.url, Role: store.System, Name: "bench", MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	took, err := m.fullBare(ctx, 5*aiParallel)
	if err != nil {
		return err
	}
	// As many answers in each turn as fill its part of the time.
	n := max(4*aiParallel, int(float64(5*aiParallel)/took.Seconds()*m.Duration.Seconds()/aiTurns))
	var bare, ours time.Duration
	for range aiTurns {
		took, err := m.fullBare(ctx, n)
		if err != nil {
			return err
		}
		bare += took
		if took, err = m.fullQueue(ctx, db, n); err != nil {
			return err
		}
		ours += took
	}
	perSecond := func(d time.Duration) float64 { return float64(aiTurns*n) / d.Seconds() }
	ratio := perSecond(ours) / perSecond(bare)
	m.add(row{what: fmt.Sprintf("AI jobs, queue full, %d at a time", aiParallel), value: fmt.Sprintf("%.1f /s", perSecond(ours)),
		against: fmt.Sprintf("model alone %.1f /s, %.0f ms each", perSecond(bare), millis(bare)*aiParallel/float64(aiTurns*n)), ratio: ratio, target: ">= 0.95", verdict: met(ratio >= 0.95)})
	return nil
}

// fullBare is the time that as many clients as the model takes at a time need for so many answers.
func (m *aiBench) fullBare(ctx context.Context, n int) (time.Duration, error) {
	prompts := m.prompts(n)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range aiParallel {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				tokens, err := m.bare.ask(ctx, aiSlow, prompts[i-1], aiSlowTokens)
				if err == nil {
					err = sameWork(tokens, aiSlowTokens)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return time.Since(began), err
}

func (m *aiBench) prompts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = m.prompt()
	}
	return list
}

// fullQueue is the time from before the submit of so many jobs until the last has ended.
func (m *aiBench) fullQueue(ctx context.Context, db *store.DB, n int) (time.Duration, error) {
	var list []map[string]any
	for _, prompt := range m.prompts(n) {
		list = append(list, map[string]any{"kind": "ai.completion", "input": aiInput(aiSlow, prompt, aiSlowTokens)})
	}
	began := time.Now()
	for chunk := range slices.Chunk(list, 1000) {
		if err := m.stack.client.do(ctx, http.MethodPost, "/api/jobs/batch", map[string]any{"jobs": chunk}, nil); err != nil {
			return 0, err
		}
	}
	var last time.Time
	err := until(ctx, 10*soon, func() (bool, error) {
		var open, failed int
		err := db.Pool().QueryRow(ctx, `
SELECT count(*) FILTER (WHERE finished_at IS NULL), count(*) FILTER (WHERE status = 'failed'), coalesce(max(finished_at), now())
FROM jobs`).Scan(&open, &failed, &last)
		if failed > 0 {
			err = fmt.Errorf("%d jobs failed", failed)
		}
		return open == 0, err
	})
	return last.Sub(began), err
}

// A bareModel is asked as by a loop that does nothing else.
type bareModel struct{ url string }

// ask reads an answer of so many tokens at most to its end, and counts them.
func (b bareModel) ask(ctx context.Context, model, prompt string, tokens int) (int, error) {
	body, err := json.Marshal(map[string]any{
		"model": model, "messages": []map[string]string{{"role": "user", "content": prompt}}, "truncate": false, "shift": false,
		"options": map[string]any{"num_predict": tokens, "temperature": 0}, "keep_alive": "30m"})
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/chat", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var last struct {
		Done   bool `json:"done"`
		Tokens int  `json:"eval_count"`
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			return 0, fmt.Errorf("read the model's answer: %w", err)
		}
	}
	if err := lines.Err(); err != nil || !last.Done {
		return 0, fmt.Errorf("the model's answer has no end (%s): %w", response.Status, err)
	}
	return last.Tokens, nil
}
