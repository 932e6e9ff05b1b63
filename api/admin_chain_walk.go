package api

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const (
	// chainDepth is how many steps a walk goes from what was asked for, chainNodes how much it shows.
	chainDepth = 6
	chainNodes = 500
	// eventsOfOne bounds what is read of one id: of a request that handed over a thousand jobs, the newest.
	eventsOfOne = 300
	startsOfOne = 20
	chainLog    = 256 << 10 // bytes of what attempts wrote to the log
)

// chainSeeds are where a walk begins.
type chainSeeds struct {
	requests []string
	events   []string // ids
	subjects []string
	jobs     []store.Key
	river    []int64
	lone     bool // events by their subjects only: what else their requests led to is not wanted
}

// chainWalk collects what hangs together, in rounds: each looks for what the one before it named.
type chainWalk struct {
	tx   pgx.Tx
	lone bool

	epoch string // the present life of the outbox

	requests, eventIDs, subjects, causes round[string]
	jobKeys                              round[store.Key]

	events   map[string]store.ChainEvent
	jobs     map[string]store.ChainJob
	river    map[int64]store.ChainRiverJob // that no client asked for
	atWork   map[int64]store.ChainRiverJob // of jobs
	attempts []store.ChainAttempt
	calls    []store.ChainCall
	mails    []store.ChainRecipient
	mailNews []store.ChainMailEvent
	effects  []store.ChainEffect
	told     []store.ChainDelivery
	tries    []store.ChainTry

	cut   bool // a bound was reached
	depth bool // the walk was ended before it had found everything
}

// A round is what is to be looked for next, each thing once.
type round[K comparable] struct {
	seen map[K]bool
	next []K
}

func (r *round[K]) add(keys ...K) {
	var none K
	for _, k := range keys {
		if k == none || r.seen[k] {
			continue
		}
		if r.seen == nil {
			r.seen = make(map[K]bool)
		}
		r.seen[k] = true
		r.next = append(r.next, k)
	}
}

func (r *round[K]) take() []K {
	next := r.next
	r.next = nil
	return next
}

func walkChain(ctx context.Context, tx pgx.Tx, from chainSeeds) (*chainWalk, error) {
	w := &chainWalk{tx: tx, lone: from.lone, events: make(map[string]store.ChainEvent), jobs: make(map[string]store.ChainJob),
		river: make(map[int64]store.ChainRiverJob), atWork: make(map[int64]store.ChainRiverJob)}
	w.requests.add(from.requests...)
	w.eventIDs.add(from.events...)
	w.subjects.add(from.subjects...)
	w.jobKeys.add(from.jobs...)
	var err error
	if w.epoch, err = store.PresentEpoch(ctx, tx); err != nil {
		return nil, err
	}
	started, err := store.RiverJobsByID(ctx, tx, from.river)
	if err != nil {
		return nil, err
	}
	for _, r := range started {
		w.started(r)
	}
	for range chainDepth {
		if w.done() {
			break
		}
		if err := w.step(ctx); err != nil {
			return nil, err
		}
	}
	w.depth = !w.done()
	return w, w.effectsOf(ctx)
}

func (w *chainWalk) done() bool {
	return len(w.requests.next)+len(w.eventIDs.next)+len(w.subjects.next)+len(w.causes.next)+len(w.jobKeys.next) == 0 ||
		len(w.events)+len(w.jobs) > 2*chainNodes
}

// step looks for events along all trails, and for the jobs that they are about.
func (w *chainWalk) step(ctx context.Context) error {
	for _, trail := range []struct {
		by  store.Trail
		ids []string
	}{
		{store.ByRequest, w.requests.take()}, {store.ByEvent, w.eventIDs.take()}, {store.BySubject, w.subjects.take()}, {store.ByCause, w.causes.take()},
	} {
		found, err := store.ChainEvents(ctx, w.tx, trail.by, trail.ids, eventsOfOne)
		if err != nil {
			return err
		}
		w.cut = w.cut || len(found) >= eventsOfOne
		for _, e := range found {
			w.event(e)
		}
	}
	jobs, err := store.ChainJobs(ctx, w.tx, w.jobKeys.take())
	if err != nil {
		return err
	}
	for _, j := range jobs {
		w.job(j)
	}
	return nil
}

// event keeps an event, and goes on from it: to its request, its cause, its job, and to what it led to.
func (w *chainWalk) event(e store.ChainEvent) {
	if _, known := w.events[e.ID]; known {
		return
	}
	w.events[e.ID] = e
	w.eventIDs.add(e.ID)
	if isUUID(e.CausationID) {
		w.eventIDs.add(e.CausationID)
	}
	if aboutJob(e.Type) && isUUID(e.Subject) {
		w.jobKeys.add(store.Key{OrganizationID: e.OrganizationID, ID: e.Subject})
	}
	if !w.lone {
		w.requests.add(e.RequestID)
	}
	if e.RequestID == "" {
		w.causes.add(e.ID)
	}
}

func (w *chainWalk) job(j store.ChainJob) {
	w.jobs[j.ID] = j
	w.eventIDs.add(j.EventID)
	w.subjects.add(j.ID)
	if !w.lone {
		w.requests.add(j.RequestID)
	}
	if j.RequestID == "" {
		w.causes.add(j.EventID)
	}
}

// started keeps work that an event began, or goes on to the job that it is for.
func (w *chainWalk) started(r store.ChainRiverJob) {
	if isUUID(r.JobID) && isUUID(r.OrganizationID) {
		w.jobKeys.add(store.Key{OrganizationID: r.OrganizationID, ID: r.JobID})
		return
	}
	w.river[r.ID] = r
	if isUUID(r.EventID) {
		w.eventIDs.add(r.EventID)
		w.causes.add(r.EventID) // of the clock's tick, of which there is no event
	}
}

// aboutJob reports whether the subject of a type of events is a job; that of a mail has the id of its own.
func aboutJob(eventType string) bool {
	return len(eventType) > 4 && (eventType[:4] == "job." || len(eventType) > 5 && eventType[:5] == "mail.")
}

func isUUID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}

// effectsOf reads what jobs and events have done beside stating facts.
func (w *chainWalk) effectsOf(ctx context.Context) error {
	var jobs, mails, told []store.Key
	var atWork []int64
	var starters []string
	for _, j := range w.jobs {
		k := store.Key{OrganizationID: j.OrganizationID, ID: j.ID}
		if jobs = append(jobs, k); j.Kind == "mail.send" {
			mails = append(mails, k)
		}
		if j.RiverJobID != nil {
			atWork = append(atWork, *j.RiverJobID)
		}
	}
	for _, e := range w.events {
		told = append(told, store.Key{OrganizationID: e.OrganizationID, ID: e.ID})
		if e.Type != "job.requested" {
			starters = append(starters, e.ID)
		}
	}
	var err error
	keep := func(next error) {
		if err == nil {
			err = next
		}
	}
	fetch(&w.attempts, keep, func() ([]store.ChainAttempt, error) {
		return store.ChainAttempts(ctx, w.tx, jobs, chainNodes, chainLog)
	})
	fetch(&w.calls, keep, func() ([]store.ChainCall, error) { return store.ChainCalls(ctx, w.tx, jobs, chainNodes) })
	fetch(&w.effects, keep, func() ([]store.ChainEffect, error) { return store.ChainEffects(ctx, w.tx, jobs, chainNodes) })
	fetch(&w.mails, keep, func() ([]store.ChainRecipient, error) { return store.ChainRecipients(ctx, w.tx, mails, chainNodes) })
	fetch(&w.mailNews, keep, func() ([]store.ChainMailEvent, error) { return store.ChainMailEvents(ctx, w.tx, mails, chainNodes) })
	fetch(&w.told, keep, func() ([]store.ChainDelivery, error) { return store.ChainDeliveries(ctx, w.tx, told, chainNodes) })
	if err != nil {
		return err
	}
	return w.rest(ctx, starters, atWork)
}

func fetch[T any](into *[]T, keep func(error), ask func() ([]T, error)) {
	list, err := ask()
	*into = list
	keep(err)
}

// rest reads what depends on what was read just before, and River's rows.
func (w *chainWalk) rest(ctx context.Context, starters []string, atWork []int64) error {
	var deliveries []store.Key
	for _, d := range w.told {
		deliveries = append(deliveries, store.Key{OrganizationID: d.OrganizationID, ID: d.ID})
	}
	var err error
	if w.tries, err = store.ChainTries(ctx, w.tx, deliveries, chainNodes); err != nil {
		return err
	}
	slices.Sort(starters)
	started, err := store.ChainRiverJobs(ctx, w.tx, starters, startsOfOne)
	if err != nil {
		return err
	}
	for _, r := range started {
		w.river[r.ID] = r
	}
	rows, err := store.RiverJobsByID(ctx, w.tx, atWork)
	for _, r := range rows {
		w.atWork[r.ID] = r
	}
	return err
}
