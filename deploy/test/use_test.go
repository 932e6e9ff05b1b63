//go:build deploytest

package deploytest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/operator"
)

// walls looks at what the engine knows: no secret, and no port but those of nginx and of mail.
func (d *deployed) walls(t *testing.T) {
	secrets := map[string]string{}
	files, err := os.ReadDir(filepath.Join(d.dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		for line := range strings.Lines(d.secret(t, f.Name())) {
			if line = strings.TrimSpace(line); len(line) >= 16 && !strings.HasPrefix(line, "#") {
				secrets[line] = f.Name()
			}
		}
	}
	list, err := d.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var published []string
	for _, c := range list {
		all, err := d.docker(t.Context(), "inspect", c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for secret, file := range secrets {
			if strings.Contains(all, secret) {
				t.Errorf("`docker inspect %s` shows what is in secrets/%s", c.Name, file)
			}
		}
		for port, at := range c.NetworkSettings.Ports {
			if len(at) > 0 {
				published = append(published, c.service()+" "+port)
			}
		}
	}
	slices.Sort(published)
	want := []string{"mail 25/tcp", "mail 465/tcp", "mail 587/tcp", "mail 993/tcp", "nginx 443/tcp", "nginx 80/tcp"}
	if !slices.Equal(published, want) {
		t.Errorf("published are %q, want %q", published, want)
	}
	d.report.add("docker inspect", "none of %d secrets in it; published: %s", len(secrets), strings.Join(published, ", "))
}

// headers are those that browsers go by, each once on an answer of the API and on one of nginx's own.
func (d *deployed) headers(t *testing.T) {
	names := []string{"Strict-Transport-Security", "X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "X-Frame-Options"}
	for _, path := range []string{"/api/contacts", "/metrics", "/docs"} {
		r, err := d.own.call(within(t, 10*time.Second), http.MethodGet, path, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if got := r.header.Values(name); len(got) != 1 {
				t.Errorf("GET %s: %d has %s %d times: %q", path, r.status, name, len(got), got)
			}
		}
	}
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(within(t, 10*time.Second), http.MethodGet, "http://127.0.0.1:"+httpPort+"/api/contacts", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = domain
	response, err := plain.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("GET http://: %s, want 308", response.Status)
	}
	d.report.add("headers", "%s: once on /api, /docs and nginx's own 404; http:// gives %d", strings.Join(names, ", "), response.StatusCode)
}

// stream follows an answer of a model that takes its time, token by token, through nginx.
func (d *deployed) stream(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	began := time.Now()
	j, _, err := d.own.submit(ctx, "stream", `{"kind":"ai.completion","input":{"prompt":"Tell me of GST.","model":"slow","max_tokens":100}}`)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.own.follow(ctx, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := d.own.await(ctx, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Provider, Model string }
	if err := json.Unmarshal(ended.Output, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Provider != "ollama" {
		t.Errorf("answered by %+v, want the Ollama of the stack", answer)
	}
	if f.tokens < 5 || f.done.Sub(f.firstToken) < 200*time.Millisecond {
		t.Errorf("%d tokens, the first %s before the end: were they held back?", f.tokens, f.done.Sub(f.firstToken))
	}
	d.report.add("ai.completion followed by SSE", "%s %s: %d events of tokens, the first after %s, %s before the end", answer.Provider, answer.Model,
		f.tokens, seconds(f.firstToken.Sub(began)), f.done.Sub(f.firstToken).Round(time.Millisecond))
}

// mail goes out by the mail server's container, after a login there over TLS.
func (d *deployed) mail(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	began := time.Now()
	if err := d.own.want(ctx, http.StatusCreated, http.MethodPost, "/api/contacts", `{"name":"Asha Rao","email":"asha@elsewhere.example"}`, nil); err != nil {
		t.Fatal(err)
	}
	j, _, err := d.own.submit(ctx, "mail", body("mail.send", "first"))
	if err == nil {
		_, err = d.own.await(ctx, j.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = eventually(ctx, func(ctx context.Context) error {
		subjects, err := d.arrived(ctx)
		if err == nil && subjects["first"] != 1 {
			err = fmt.Errorf("arrived are %v", subjects)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.report.add("mail.send", "in the mailbox of the mail container %s after it was submitted", seconds(time.Since(began)))
}

// arrived counts the mails in the mail container by the last word of their subjects.
func (d *deployed) arrived(ctx context.Context) (map[string]int, error) {
	out, err := d.call(ctx, "exec", "-T", "mail", "sh", "-c", "grep -rhE '^Subject: deploytest ' /var/mail/all/new || true")
	if err != nil {
		return nil, err
	}
	subjects := make(map[string]int)
	for line := range strings.Lines(out) {
		subjects[strings.TrimSpace(strings.TrimPrefix(line, "Subject: deploytest "))]++
	}
	return subjects, nil
}

// scale gives a queue more processes, and takes them away.
func (d *deployed) scale(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	workers := func(want int) error {
		return eventually(ctx, func(ctx context.Context) error {
			var list operator.WorkerList
			if err := d.admin.want(ctx, http.StatusOK, http.MethodGet, "/api/admin/workers", "", &list); err != nil {
				return err
			}
			n := 0
			for _, h := range list.Hosts {
				for _, p := range h.Processes {
					if _, works := p.Queues["ai"]; works && p.Role == "worker" {
						n++
					}
				}
			}
			if n != want {
				return fmt.Errorf("%d workers of the queue ai, want %d", n, want)
			}
			return nil
		})
	}
	for _, n := range []int{3, 1} {
		began := time.Now()
		if _, err := d.call(ctx, "up", "--detach", "--wait", "--no-recreate", "--scale", "worker-ai="+itoa(n), "worker-ai"); err != nil {
			t.Fatal(err)
		}
		if err := workers(n); err != nil {
			t.Fatal(err)
		}
		d.report.add("up --scale worker-ai="+itoa(n), "/api/admin/workers shows %d of the queue ai after %s", n, seconds(time.Since(began)))
	}
}

// A receiver is told of the ends of jobs.
type receiver struct {
	url string

	mu   sync.Mutex
	told map[string]int // by job
}

var callbacks receiver

// receive listens where containers reach this machine.
func (d *deployed) receive(t *testing.T) {
	worker, err := d.one(t.Context(), "worker-webhook")
	if err != nil {
		t.Fatal(err)
	}
	gateway := worker.NetworkSettings.Networks["payaid_app"].Gateway
	l, err := net.Listen("tcp", net.JoinHostPort(gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	callbacks.url, callbacks.told = "http://"+l.Addr().String()+"/callback", make(map[string]int)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(callbacks.hear)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// heard is how often a job's end was told.
func (r *receiver) heard(job string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told[job]
}

func (r *receiver) hear(w http.ResponseWriter, request *http.Request) {
	var event struct {
		Data struct {
			JobID string `json:"job_id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(request.Body).Decode(&event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[event.Data.JobID]++
	w.WriteHeader(http.StatusNoContent)
}
