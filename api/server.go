package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/operator"
)

// Config is what the API needs from the rest of the program.
type Config struct {
	DB       *store.DB // of role store.App
	Kinds    []Kind    // what a client may submit
	Hints    Hints     // lossy news between processes
	Cache    Cache     // of answers; nil: none
	AdminKey string    // "": none. Its holder belongs to store.OperatorOrganization and has every scope
	Checks   []Check   // for /readyz and /api/system/health
	GSTRates gst.Rates // that invoices may have; empty: gst.DefaultRates
	Pricing  AIPricing // of the models that answer for money
	// MailAddress reads an address as the recipients of mails have it, its domain in lower case and ASCII. Its error
	// goes on where "the address" was begun. nil: any bare address will do.
	MailAddress func(string) (string, error)
	// Sink is where mail is caught that leaves the house nowhere; nil: it goes to a mail server.
	Sink    MailSink
	Tickets *ticket.Maker // reads the links by which readers of mails unsubscribe; nil: nobody can
	// Limiter counts requests, RateLimit is how many a client may make in its window. nil: as many as it likes.
	Limiter   *ratelimit.Limiter
	RateLimit int
	// AIRates bound the AI jobs that organizations submit, whatever their keys; nil: as many as they like.
	AIRates  []AIRate
	Webhooks webhook.Policy // where deliveries may go
	// WriteMail writes what the input of a mail.send says, for an operator who asks; nil: nobody can here.
	WriteMail func(ctx context.Context, organizationID string, input json.RawMessage) (WrittenMail, error)
	// TrustedProxies may say for whom they ask, in X-Forwarded-For.
	TrustedProxies  []netip.Prefix
	BackupRetention BackupRetention // is shown, and applied by workers
	// Watch hears of every request once it has been answered, from the goroutine that answered it; it must be quick
	// and not panic. nil: nobody does.
	Watch   func(Observation)
	Tracer  *trace.Tracer // of requests; nil: nobody traces them
	Figures Figures       // of the whole installation, for the operator
	// EventLog is the event stream, as the operator is shown it; nil: events are shown without their places in it.
	EventLog EventLog
	Replayer Replayer // of events, for the operator; nil: this process can't
	// Settings are what the process was started with, without secrets, for operators.
	Settings []operator.Setting
	// Work are all kinds of jobs, for the operator; LeaderLocks what one process at a time holds.
	Work        []WorkKind
	LeaderLocks []LeaderLock
	Version     string
	Log         *slog.Logger
}

// A Kind is a kind of job that a client may submit.
type Kind struct {
	Name        string
	Queue       string
	Scope       string                              // "jobs" or "admin"
	Share       int                                 // unfinished jobs of one organization that have their fair place in the queue
	MaxAttempts int                                 // of one run
	Check       func(input json.RawMessage) []Fault // nil or empty: fine; also refuses unknown fields
	Changes     []string                            // cache tags of what its jobs change
	Beside      func(*pgx.Batch, store.Job) error   // adds what is written with a job of the kind; nil: nothing

	// For the documents, each may be empty: what the kind does, in a sentence; what else to know; JSON Schemas of
	// the input and of the output of jobs that succeeded; what jobs may fail with.
	Summary, Notes string
	Schema, Output json.RawMessage
	Codes          []JobCode
}

// A JobCode names for good what a job failed of. Status is what the answer would have been, had the client waited.
type JobCode struct {
	Name    string
	Status  int
	Meaning string
}

// A Fault is one thing that is wrong with a request. Kind.Check gives the pointer relative to the input,
// for example "/prompt".
type Fault struct {
	Pointer string `json:"pointer" doc:"JSON pointer into the body; /query/NAME for a query parameter"`
	Detail  string `json:"detail"`
}

// Hints carry news between processes. They may be lost, so whoever listens also looks by itself.
type Hints interface {
	OutboxChanged()                                       // after a commit that appended facts
	JobChanged(id string)                                 // after a commit that changed a job
	Job(id string) (changed <-chan struct{}, stop func()) // hints about one job
	Jobs() (changed <-chan struct{}, stop func())         // hints about any job
}

// A Check tells whether something that the product leans on is there.
type Check struct {
	Name     string
	Required bool // without it the API can't answer
	Probe    func(context.Context) (detail string, err error)
}

// Server is the API. Close it after its HTTP server has shut down.
type Server struct {
	Config
	kinds    map[string]*Kind
	adminKey *[sha256.Size]byte
	keys     *keyCache
	terms    termsCache
	touches  *toucher
	gather   *gatherer
	river    *river.Client[pgx.Tx] // for its functions within a transaction alone: it has no pool
	shares   shares
	streams  streamCount
	counts   countCache
	beat     time.Duration // of streams on which nothing happens
	patience time.Duration // with a search
	newsLook time.Duration // between looks at what changed
	health   healthCache
	pulse    pulseCache
	sparse   telemetry.Sparse // lines about an outage
	started  time.Time

	leaving   atomic.Bool // readiness is 503
	draining  chan struct{}
	drainOnce sync.Once

	openAPI   *huma.OpenAPI
	mux       *guardedMux
	documents documents
	handler   http.Handler
}

// New makes the API. It starts one goroutine, which notes the use of keys and ends with Close.
func New(c Config) (*Server, error) {
	if c.DB == nil || c.Hints == nil || c.Log == nil {
		return nil, errors.New("api: DB, Hints and Log are required")
	}
	s, err := build(c)
	if err != nil {
		return nil, err
	}
	s.touches = startToucher(c.DB, c.Log)
	return s, nil
}

// build makes everything that needs no database.
func build(c Config) (*Server, error) {
	if len(c.GSTRates) == 0 {
		c.GSTRates = gst.DefaultRates()
	}
	s := &Server{
		Config:   c,
		kinds:    make(map[string]*Kind, len(c.Kinds)),
		keys:     newKeyCache(),
		beat:     heartbeat,
		patience: searchTime,
		newsLook: newsLook,
		draining: make(chan struct{}),
		started:  time.Now(),
	}
	for i := range c.Kinds {
		s.kinds[c.Kinds[i].Name] = &c.Kinds[i]
	}
	var err error
	if s.river, err = river.NewClient(riverpgxv5.New(nil), &river.Config{Logger: c.Log}); err != nil {
		return nil, fmt.Errorf("api: prepare river: %w", err)
	}
	s.gather = &gatherer{db: c.DB, kinds: s.kinds}
	if c.AdminKey != "" {
		sum := sha256.Sum256([]byte(c.AdminKey))
		s.adminKey = &sum
	}
	if err := s.mount(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler serves the whole URL space.
func (s *Server) Handler() http.Handler { return s.handler }

// Leave makes readiness 503, and each answer the last of its connection. Requests are taken as before: whoever spreads
// them should notice first.
func (s *Server) Leave() { s.leaving.Store(true) }

// Drain makes readiness 503 and lets waits and streams end soon, before the HTTP server shuts down.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.draining) }) }

// Close drains and waits for what the server does beside requests.
func (s *Server) Close() {
	s.Drain()
	s.counts.beside.Wait()
	s.touches.stop()
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}
