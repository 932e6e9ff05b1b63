package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := localstack.RunTests(m)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	// A chain has no end of its own: its idle connections go after 90 s.
	err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func ollamaURL(t *testing.T) string { return localstack.TestOllama(t).URL() }

// rig is a chain before two proxies, both in front of a real Ollama.
type rig struct {
	*Chain
	ollama, groq *faults.Proxy
	heard        *recorder
	log          *logbook
}

// newRig builds a chain. Budgets are long, because the machine may be busy with
// other tests; those that are about time set their own by change.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{ollama: faults.New(t, ollamaURL(t)), groq: faults.New(t, ollamaURL(t)), heard: &recorder{}, log: &logbook{}}
	cfg := Config{
		OllamaEnabled: true,
		OllamaURL:     r.ollama.URL,
		GroqKey:       "gsk_secret",
		GroqBaseURL:   r.groq.URL + "/v1",
		FastBudget:    time.Minute,
		LargeBudget:   time.Minute,
		Patience:      time.Minute,
		GroqTimeout:   time.Minute,
		Log:           slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	chain, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Chain = chain
	return r
}

func (r *rig) ask(t *testing.T, p Prompt) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return r.Answer(ctx, p, r.heard)
}

// mustAnswer fails the test unless provider answered.
func (r *rig) mustAnswer(t *testing.T, p Prompt, provider string) Answer {
	t.Helper()
	a, err := r.ask(t, p)
	if err != nil {
		t.Fatalf("answer: %v", err)
	}
	if a.Provider != provider {
		t.Fatalf("provider %s, want %s; attempts %+v", a.Provider, provider, a.Attempts)
	}
	if a.Text != r.heard.text.String() {
		t.Fatalf("the sink heard %q, the answer is %q", r.heard.text.String(), a.Text)
	}
	return a
}

// mustFail gives the error, and fails the test if there is none.
func (r *rig) mustFail(t *testing.T, p Prompt) *Error {
	t.Helper()
	a, err := r.ask(t, p)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("answer %+v, error %v; want an *Error", a, err)
	}
	return e
}

// recorder is a sink that keeps what it hears.
type recorder struct {
	text   strings.Builder
	events []string
	onText func()
}

func (s *recorder) Provider(provider, model, reason string) {
	s.events = append(s.events, "provider "+provider+" "+reason)
}

func (s *recorder) Token(text string) {
	s.text.WriteString(text)
	if s.onText != nil {
		s.onText()
	}
}

func (s *recorder) Reset(provider, reason string) {
	s.text.Reset()
	s.events = append(s.events, "reset "+provider+" "+reason)
}

// score is a prompt that the tiny model answers in a few words.
func score() Prompt { return Prompt{Messages: []Message{{"user", "Score the lead."}}} }

func outcomes(attempts []Attempt) string {
	var names []string
	for _, a := range attempts {
		names = append(names, a.Provider+":"+a.Outcome)
	}
	return strings.Join(names, " ")
}

// refused is the address of a port where nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// logbook is a log that several goroutines write.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
