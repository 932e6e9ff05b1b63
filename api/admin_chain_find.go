package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// A meaning is something that an id may be, and where a walk begins from there.
type meaning struct {
	operator.ChainMeaning
	seeds chainSeeds
	asked string // the node that was asked for, "" where it is none
}

// finder finds out what an id is.
type finder struct {
	tx    pgx.Tx
	log   EventLog
	found []meaning
	notes []string
}

func (f *finder) add(sort, id, organizationID, title string, seeds chainSeeds, asked string) {
	for _, m := range f.found {
		if m.Type == sort && m.ID == id {
			return
		}
	}
	f.found = append(f.found, meaning{operator.ChainMeaning{Type: sort, ID: id, Title: title, OrganizationID: orNull(organizationID)}, seeds, asked})
}

var (
	allDigits   = regexp.MustCompile(`^[0-9]{1,18}$`)
	sequence    = regexp.MustCompile(`^seq:([0-9]{1,18})$`)
	placeInLog  = regexp.MustCompile(`^(?:[0-9a-f-]{36}/)?([0-9]{1,19})/([0-9]{1,18})$`)
	traceID     = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
	traceHeader = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// longestID is more than any id has that anything gives.
const longestID = 400

// cleanID takes off what comes along when an id is copied: quotes, brackets, the name of a header or field before it.
func cleanID(text string) string {
	text = strings.TrimSpace(text)
	for _, name := range []string{"x-request-id:", "message-id:", "traceparent:", "request_id:", "request_id=", "request id", `"request_id":`} {
		if len(text) > len(name) && strings.EqualFold(text[:len(name)], name) {
			text = strings.TrimSpace(text[len(name):])
		}
	}
	return strings.Trim(text, " \t\r\n\"'`<>(),;")
}

// find looks an id up in all that it may be.
func (f *finder) find(ctx context.Context, id string) error {
	if m := traceHeader.FindStringSubmatch(id); m != nil {
		return f.trace(ctx, m[1])
	}
	if m := sequence.FindStringSubmatch(id); m != nil {
		return f.sequence(ctx, m[1])
	}
	if m := placeInLog.FindStringSubmatch(id); m != nil {
		return f.events(ctx, store.ByPlace, m[1:])
	}
	if name, _, isMessage := strings.Cut(id, "@"); isMessage {
		id = name
	}
	for _, look := range []func(context.Context, string) error{f.uuid, f.trace, f.riverJob, f.request, f.mail} {
		if err := look(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) events(ctx context.Context, by store.Trail, ids []string) error {
	list, err := store.ChainEvents(ctx, f.tx, by, ids, 10)
	for _, e := range list {
		f.add("event", e.ID, e.OrganizationID, e.Type, chainSeeds{events: []string{e.ID}}, "event:"+e.ID)
	}
	return err
}

func (f *finder) sequence(ctx context.Context, text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || f.log == nil {
		return nil
	}
	e, err := f.log.Message(ctx, n)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		f.notes = append(f.notes, "The event stream does not answer.")
		return nil
	}
	return f.events(ctx, store.ByEvent, []string{e.EventID})
}

func (f *finder) trace(ctx context.Context, id string) error {
	if !traceID.MatchString(id) {
		return nil
	}
	id = strings.ToLower(id)
	list, err := store.ChainEvents(ctx, f.tx, store.ByTrace, []string{id}, eventsOfOne)
	if err != nil {
		return err
	}
	seeds := chainSeeds{}
	for _, e := range list {
		seeds.events, seeds.requests = append(seeds.events, e.ID), append(seeds.requests, e.RequestID)
	}
	if len(list) > 0 {
		f.add("trace", id, list[0].OrganizationID, fmt.Sprintf("a trace of %d events", len(list)), seeds, "")
		return nil
	}
	// A UUID may be written without its hyphens.
	if u, err := uuid.Parse(id); err == nil {
		return f.uuid(ctx, u.String())
	}
	return nil
}

func (f *finder) riverJob(ctx context.Context, id string) error {
	if !allDigits.MatchString(id) {
		return nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	rows, err := store.RiverJobsByID(ctx, f.tx, []int64{n})
	for _, r := range rows {
		asked := fmt.Sprintf("work:%d", r.ID)
		if r.JobID != "" {
			asked = "job:" + r.JobID
		}
		f.add("work", id, r.OrganizationID, "job "+id+" of River: "+r.Kind, chainSeeds{river: []int64{n}}, asked)
	}
	return err
}

func (f *finder) request(ctx context.Context, id string) error {
	if isUUID(id) && len(f.found) > 0 || len(id) > maxRequestID {
		return nil
	}
	events, err := store.ChainEvents(ctx, f.tx, store.ByRequest, []string{id}, 1)
	if err != nil {
		return err
	}
	jobs, err := store.JobsOfRequest(ctx, f.tx, id, eventsOfOne)
	if err != nil {
		return err
	}
	switch {
	case len(events) > 0:
		f.add("request", id, events[0].OrganizationID, requestTitle(events[0].Route), chainSeeds{requests: []string{id}, jobs: jobs}, "request:"+id)
	case len(jobs) > 0:
		f.add("request", id, jobs[0].OrganizationID, requestTitle(""), chainSeeds{jobs: jobs}, "request:"+id)
	}
	return nil
}

func requestTitle(route string) string {
	if route == "" {
		return "a request"
	}
	return "the request " + route
}

// uuid looks among events, then among rows.
func (f *finder) uuid(ctx context.Context, id string) error {
	if !isUUID(id) {
		return nil
	}
	id = strings.ToLower(id)
	if err := f.events(ctx, store.ByEvent, []string{id}); err != nil || len(f.found) > 0 {
		return err
	}
	rows, err := store.FindByID(ctx, f.tx, id)
	for _, r := range rows {
		if err := f.row(ctx, r); err != nil {
			return err
		}
	}
	if err != nil || len(f.found) > 0 {
		return err
	}
	return f.subject(ctx, id)
}

// row is a meaning of a row.
func (f *finder) row(ctx context.Context, r store.Found) error {
	own := store.Key{OrganizationID: r.OrganizationID, ID: r.ID}
	switch r.Sort {
	case "job", "mail":
		f.add("job", r.ID, r.OrganizationID, "a job", chainSeeds{jobs: []store.Key{own}}, "job:"+r.ID)
	case "delivery":
		seeds := chainSeeds{events: []string{r.EventID}}
		if r.JobID != "" {
			seeds.jobs = []store.Key{{OrganizationID: r.OrganizationID, ID: r.JobID}}
		}
		f.add("delivery", r.ID, r.OrganizationID, "a delivery of a webhook", seeds, "delivery:"+r.ID)
	case "backup":
		seeds := chainSeeds{subjects: []string{r.ID}}
		if r.JobID != "" {
			seeds.jobs = []store.Key{{OrganizationID: store.OperatorOrganization, ID: r.JobID}}
		}
		f.add("backup", r.ID, "", "backup "+r.Name, seeds, "")
	case "key":
		return f.key(ctx, r)
	case "endpoint":
		f.add("endpoint", r.ID, r.OrganizationID, "an endpoint of webhooks", chainSeeds{subjects: []string{r.ID}, lone: true}, "")
	default:
		jobs, err := store.JobsAbout(ctx, f.tx, r.OrganizationID, r.ID, 10)
		f.add(r.Sort, r.ID, r.OrganizationID, "a "+r.Sort, chainSeeds{subjects: []string{r.ID}, jobs: jobs, lone: true}, "")
		return err
	}
	return nil
}

func (f *finder) key(ctx context.Context, r store.Found) error {
	seeds := chainSeeds{}
	if r.UsedAt != nil {
		list, err := store.ChainEventsOfKey(ctx, f.tx, r.OrganizationID, r.ID, *r.UsedAt, 50)
		if err != nil {
			return err
		}
		for _, e := range list {
			seeds.events = append(seeds.events, e.ID)
		}
		f.notes = append(f.notes, "Of a key is shown what it did in the minutes around its last use, "+r.UsedAt.UTC().Format(time.RFC3339)+".")
	}
	f.add("key", r.ID, r.OrganizationID, "the API key "+r.Name, seeds, "")
	return nil
}

// subject is for what is gone, such as a deleted contact, and still has its events.
func (f *finder) subject(ctx context.Context, id string) error {
	list, err := store.ChainEvents(ctx, f.tx, store.BySubject, []string{id}, 1)
	if len(list) > 0 {
		sort, _, _ := strings.Cut(list[0].Type, ".")
		f.add(sort, id, list[0].OrganizationID, "a "+sort+" that is gone", chainSeeds{subjects: []string{id}, lone: true}, "")
	}
	return err
}

// mail takes an id for a name that a mail server gave, which may be any word.
func (f *finder) mail(ctx context.Context, id string) error {
	list, err := store.FindQueueID(ctx, f.tx, id)
	for _, r := range list {
		f.add("mail", r.ID, r.OrganizationID, "a mail that the server calls "+id,
			chainSeeds{jobs: []store.Key{{OrganizationID: r.OrganizationID, ID: r.ID}}}, "job:"+r.ID)
	}
	return err
}
