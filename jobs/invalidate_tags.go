package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// Invalidator makes void what is cached of an organization under tags. Without an error it is true for all
// processes.
type Invalidator interface {
	Bump(ctx context.Context, organizationID string, tags ...string) error
}

// invalidateTagsArgs are River's arguments of cache.invalidate. A fact gives the tags; a client's are in
// the input of its job.
type invalidateTagsArgs struct {
	Request
	Tags []string `json:"tags,omitempty"`
}

// Kind implements river.JobArgs.
func (invalidateTagsArgs) Kind() string { return "cache.invalidate" }

// invalidation is the input of cache.invalidate.
type invalidation struct {
	OrganizationID *string  `json:"organization_id"`
	Tags           []string `json:"tags"`
}

var invalidateTagsSpec = Spec{
	Queue: Cache, Timeout: 10 * time.Second, MaxAttempts: 25, Backoff: exponential(time.Second, time.Minute), Scope: "admin",
	Summary: "Makes void what is cached of an organization's records.",
	Notes:   "Changes by the API do so by themselves; this is for changes by other ways. It waits while Redis is away.",
	OutputSchema: json.RawMessage(documentSchema(`
		"tags":{"type":"array","minItems":1,"items":{"type":"string"},"description":"what was made void, as in the input"}`, "tags")),
	Fails: []Code{codeOfOthers},
	Check: func(input json.RawMessage) []Fault {
		var in invalidation
		if faults := strict(input, &in); faults != nil {
			return faults
		}
		return in.faults()
	},
	InputSchema: json.RawMessage(`{"type":"object","required":["tags"],"additionalProperties":false,"properties":{
		"organization_id":{"type":["string","null"],"format":"uuid","description":"of another organization: for the operator alone"},
		"tags":{"type":"array","minItems":1,"items":{"anyOf":[{"enum":["` + strings.Join(cachetag.Tags(), `","`) + `"]},
			{"type":"string","pattern":"^(contact|deal|invoice):[0-9a-f-]{36}$","description":"of what is made from one thing"}]}}}}`),
}

// knownTags says what a tag may be.
var knownTags = strings.Join(cachetag.Tags(), ", ") + ", or of one thing, such as contact:ID"

func (in invalidation) faults() []Fault {
	var faults []Fault
	if in.OrganizationID != nil {
		if _, err := uuid.Parse(*in.OrganizationID); err != nil || len(*in.OrganizationID) != 36 {
			faults = append(faults, Fault{"/organization_id", "must be a UUID"})
		}
	}
	if len(in.Tags) == 0 {
		faults = append(faults, Fault{"/tags", "must name at least one of " + knownTags})
	}
	for i, tag := range in.Tags {
		if !cachetag.Known(tag) {
			faults = append(faults, Fault{fmt.Sprintf("/tags/%d", i), "must be one of " + knownTags})
		}
	}
	return faults
}

// tagsOf starts an invalidation for each fact that changes what is cached.
func tagsOf(e events.Envelope, f events.Fact) (invalidateTagsArgs, bool) {
	tags := cachetag.TagsOf(f)
	return invalidateTagsArgs{Request: Request{OrganizationID: e.OrganizationID}, Tags: tags}, len(tags) > 0
}

// invalidateTags makes void what is cached under tags. The API does so too, before it answers; this job
// makes sure of it where the API died, or Redis did not answer.
//
// While Redis is away it waits, for as long as it takes: River would give an attempt that fails up after
// some, and keep the error of each in the job's row. Where no cache is configured there is nothing to make
// void, and it is done.
type invalidateTags struct{ cache Invalidator }

// React implements Reaction.
func (w invalidateTags) React(ctx context.Context, args invalidateTagsArgs) error {
	if w.cache == nil {
		return nil
	}
	if err := w.cache.Bump(ctx, args.OrganizationID, args.Tags...); err != nil {
		return &Wait{Reason: "Redis does not answer."}
	}
	return nil
}

// Run implements Work.
func (w invalidateTags) Run(ctx context.Context, _ invalidateTagsArgs, t *Task) (Result, error) {
	var in invalidation
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	organizationID := t.OrganizationID
	if in.OrganizationID != nil {
		organizationID = strings.ToLower(*in.OrganizationID)
	}
	if organizationID != t.OrganizationID && t.OrganizationID != store.OperatorOrganization {
		return Result{}, &Failure{Code: codeForbidden, Title: "Forbidden", Pointer: "/organization_id",
			Detail: "The cache of another organization is for the operator to invalidate."}
	}
	err := w.React(ctx, invalidateTagsArgs{Request: Request{OrganizationID: organizationID}, Tags: in.Tags})
	if err != nil {
		return Result{}, &Wait{Reason: "Redis does not answer; what is cached is made void when it does.",
			After: ageing(time.Since(t.CreatedAt))}
	}
	return Result{Output: map[string]any{"tags": in.Tags}}, nil
}
