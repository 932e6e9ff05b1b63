// Package jobs is the vocabulary of work: one file per kind, and All, the table that says what exists,
// what each kind is started by, and how it may fail. It knows neither the API nor the broker, so every
// job is testable without them.
//
// To add a kind: one file with its arguments and its work, and one line in All.
package jobs

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// A Queue is named after the scarce thing that its jobs share.
type Queue struct {
	Name    string
	Workers int // jobs at a time per process, unless the operator says otherwise
	// Share is how many unfinished jobs of one organization have their fair place in the queue. What an
	// organization asks for beyond that goes behind everybody else's.
	Share int
}

// The queues. An operator scales each by itself.
var (
	AI          = Queue{Name: "ai", Workers: 2, Share: 8}
	Mail        = Queue{Name: "mail", Workers: 8, Share: 32}
	Cache       = Queue{Name: "cache", Workers: 50, Share: 200}
	Webhook     = Queue{Name: "webhook", Workers: 64, Share: 80} // they wait for others, and need room beside those that hang
	Maintenance = Queue{Name: "maintenance", Workers: 2, Share: 4}
)

// Queues lists them all.
func Queues() []Queue { return []Queue{AI, Mail, Cache, Webhook, Maintenance} }

// Deps is what jobs need from the process that works them.
type Deps struct {
	DB *store.DB // of role store.System; commits are durable
	// Relaxed is the same database with commits that return early, for bookkeeping that may be repeated.
	Relaxed *store.DB
	Hints   Hints
	Model   Model
	Puller  Puller // fetches models; nil where there is none
	// Rules lets kinds that can do without a model answer by their rules where none can be reached.
	Rules bool
	// RupeesPerDollar turns what providers bill into what an organization may spend.
	RupeesPerDollar float64
	Cache           Invalidator // nil: nothing is cached
	Answers         Answers     // nil: every question is asked
	Forgetter       Forgetter   // nil: nothing is cached
	Mailing         Mailing
	Backing         Backing
	Webhooks        Webhooks
	Log             *slog.Logger
}

// Hints tells other processes of changes. They may be lost.
type Hints interface {
	OutboxChanged()
	JobChanged(id string)
}

// All is the table of jobs: everything that this product ever does in the background.
func All(d Deps) []Job {
	turn := make(oneAtATime, 1) // of backups and their verifications
	backups, proofs := backUp{d, turn}, verifyBackup{d, turn}
	return []Job{
		Requested(d, complete{asker{d}}, completeSpec),
		Requested(d, chat{asker{d}}, chatSpec),
		Requested(d, scoreLead{asker{d}}, leadScore.spec()),
		Requested(d, summarizeContact{asker{d}}, summaryOfContact.spec()),
		Requested(d, rateChurn{asker{d}}, riskOfChurn.spec()),
		Requested(d, judgeDeal{asker{d}}, insightOfDeal.spec()),
		Requested(d, draftEmail{asker{d}}, draftOfEmail.spec()),
		Requested(d, remindOfInvoice{asker{d}}, reminderOfInvoice.spec()),
		Requested(d, briefDaily{asker{d}}, briefingOfDay.spec()),
		Requested(d, pullModel{d.Puller, make(chan struct{}, 1)}, pullModelSpec),
		Reacting(d, sendMail{d}, sendMailSpec, on(mailOfInvoice), on(mailOfWonDeal), on(mailOfReminder), on(mailOfUnwritten),
			on(mailOfDisabledWebhook)),
		Reacting(d, invalidateTags{d.Cache}, invalidateTagsSpec, on(tagsOf)),
		OnCue(d, sampleIndexes{d}, sampleIndexesSpec, func(c Cue) sampleIndexesArgs { return sampleIndexesArgs{c} }, asksNothing),
		OnCue(d, backups, backUpSpec(d.Backing), func(c Cue) backUpArgs { return backUpArgs{c} }, backups.input),
		onCueOf(d, proofs, verifyBackupSpec, func(c Cue) verifyBackupArgs { return verifyBackupArgs{Cue: c} }, proofs.input, on(verificationOf)),
		Telling(deliverWebhooks(d), everyListener),
		Scheduled(replayWebhook{d}, replayWebhookSpec, on(replayAskedFor)),
		Scheduled(carryOut{d}, bulkSpec, on(bulkAskedFor)),
		Scheduled(keepBackups{d, turn}, keepBackupsSpec),
		Scheduled(partitionOutbox{db: d.DB}, partitionOutboxSpec),
		Scheduled(forgetCache{d.Forgetter}, forgetCacheSpec),
		Scheduled(cleanUp{db: d.DB}, cleanUpSpec),
		Scheduled(rollUpCalls{db: d.DB}, rollUpCallsSpec),
		Scheduled(sweepReservations{db: d.DB, log: d.Log}, sweepReservationsSpec),
		Scheduled(markOverdue{db: d.DB, hints: d.Hints}, markOverdueSpec),
		Scheduled(remindInvoices{d}, remindInvoicesSpec,
			on(remindersOfOrganization), on(remindersOfOverdue), on(remindersOfPaid), on(remindersOfCancelled), on(remindersOfPutOff)),
	}
}

// A Spec says how jobs of a kind are queued, bounded and tried again.
type Spec struct {
	Queue       Queue
	Timeout     time.Duration // of one attempt; River's own default of a minute fits no kind
	MaxAttempts int
	Backoff     Backoff
	// Scope is the scope of the API key that may submit this kind; "" when no client may.
	Scope string
	// Check finds faults in a client's input.
	Check func(input json.RawMessage) []Fault
	// Summary is a sentence on what the kind does, Notes are what else its users should know: for the API's document.
	Summary, Notes string
	// InputSchema describes the input for the API's document, OutputSchema the output of jobs that succeeded.
	InputSchema, OutputSchema json.RawMessage
	// Fails are the codes that jobs of this kind may fail with beside those of all kinds; see Codes.
	Fails []Code
	// Changes are the tags of what is cached and shows what such a job changes. They go to the API, for who hears
	// of a job's end by looking, and not by being told.
	Changes []string
	// Beside adds the rows that are written in the transaction that makes a job of the kind; nil: none.
	Beside func(*pgx.Batch, store.Job) error
	// Cron is the wall-clock schedule in UTC, "" for none that this process knows of, NoCron where there shall be none.
	Cron string
}

// NoCron is the schedule of what the owner doesn't want started by the clock.
const NoCron = "off"

// A Fault is a place in a client's input that it must mend.
type Fault struct {
	Pointer string // JSON pointer within the input
	Detail  string
}

// A Backoff says how long to wait before the attempt after the given one (1 for the first).
type Backoff func(attempt int) time.Duration

// exponential doubles from first to most.
func exponential(first, most time.Duration) Backoff {
	return func(attempt int) time.Duration {
		d := first
		for range attempt - 1 {
			if d >= most/2 {
				return most
			}
			d *= 2
		}
		return min(d, most)
	}
}

// jittered spreads a wait by a tenth to both sides, always the same way for one attempt of one job: the
// time that the client is shown is the time that River is told.
func (b Backoff) jittered(riverJobID int64, attempt int) time.Duration {
	d := b(attempt)
	spread := rand.New(rand.NewPCG(uint64(riverJobID), uint64(attempt))).Float64()
	return d + time.Duration((spread-0.5)*0.2*float64(d))
}

// A Job is one row of the table.
type Job struct {
	Kind string
	Spec Spec
	// routes turns a fact into the work that it starts; nil when it starts none.
	routes func(events.Envelope, events.Fact) []river.InsertManyParams
	// register teaches a River client the kind.
	register func(*river.Workers)
	// due makes the insert of one tick of the schedule.
	due func() river.InsertManyParams
	// told says whether those who listen are told of a fact; nil: they are told of none.
	told func(Happening) bool
}

// Register teaches a River client all the kinds. Every process registers every kind: a leader that
// doesn't know one would throw its stuck jobs away.
func Register(table []Job) *river.Workers {
	workers := river.NewWorkers()
	for _, j := range table {
		j.register(workers)
	}
	return workers
}

// Route gives what a fact starts.
func Route(table []Job, e events.Envelope, f events.Fact) []river.InsertManyParams {
	var inserts []river.InsertManyParams
	for _, j := range table {
		if j.routes != nil {
			inserts = append(inserts, j.routes(e, f)...)
		}
	}
	return inserts
}

// Due gives the insert for a tick of the job's schedule.
func (j Job) Due() river.InsertManyParams { return j.due() }
