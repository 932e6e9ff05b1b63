package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// Cache keeps rendered answers. It never makes a read fail: where it can't help, it calls load.
type Cache interface {
	Read(ctx context.Context, e cachetag.Entry, load func(context.Context) ([]byte, error)) ([]byte, cachetag.Outcome, error)
	// Bump makes void what was read under tags. With an error it is remembered, and made up for.
	Bump(ctx context.Context, organizationID string, tags ...string) error
}

// cached is an answer that may come from the cache, with a body of the shape T.
type cached[T any] struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	XCache       string `header:"X-Cache" doc:"hit, miss, or bypass: where the answer comes from"`
	Body         encoded[T]
}

// withVersion gives the answer the ETag of the version that its body tells, and makes it a 304 for a client
// that has this version.
func (c *cached[T]) withVersion(ifNoneMatch string) (*cached[T], error) {
	var body struct {
		Version int64 `json:"version"`
	}
	if err := json.Unmarshal(c.Body.json, &body); err != nil {
		return nil, fmt.Errorf("read the version of an answer: %w", err)
	}
	c.ETag, c.CacheControl = versionTag(body.Version), revalidate
	if matches(ifNoneMatch, c.ETag) {
		c.Status = http.StatusNotModified
	}
	return c, nil
}

// readCached answers from the cache, or with what load gives. What load sees must be what every key of the
// organization may see: it knows nothing of the caller but the organization.
func readCached[T any](ctx context.Context, s *Server, e cachetag.Entry, load func(ctx context.Context, organizationID string) (T, error)) (*cached[T], error) {
	organizationID := exchangeOf(ctx).caller.OrganizationID
	render := func(ctx context.Context) ([]byte, error) {
		v, err := load(ctx, organizationID)
		if err != nil {
			return nil, err
		}
		return encode(v)
	}
	out := &cached[T]{Status: http.StatusOK, XCache: string(cachetag.Bypass)}
	var err error
	if s.Cache == nil || e.Name == "" {
		out.Body.json, err = render(ctx)
		return out, err
	}
	e.Organization, e.Version = organizationID, s.documents.version
	body, outcome, err := s.Cache.Read(ctx, e, render)
	out.Body.json, out.XCache = body, string(outcome)
	return out, err
}

// notCached is the entry of what is asked for in too many ways to be kept.
var notCached cachetag.Entry

// listEntry is the entry of a list. Kept is the first page alone, and only for filters that are choices of
// a set: so an organization has a few hundred entries at most that anybody ever asks for, and nobody can
// fill the cache with searches, ids, or by walking through a list. What the page before the next is like
// matters to few; what a list begins with, to all.
func listEntry(e cachetag.Entry, page PageQuery, filters []string) cachetag.Entry {
	if page.Cursor != "" {
		return notCached
	}
	e.Key = strings.Join(append([]string{strconv.Itoa(page.Limit)}, filters...), "\x00")
	return e
}

// organizationConfig is what an organization's own settings are kept as.
var organizationConfig = cachetag.Entry{Name: "organization:config", Tags: []string{cachetag.Org}, TTL: 24 * time.Hour}

// invalidate makes void what is cached of what the facts are about, after their commit and before their
// answer, so that whoever has the answer reads the change. What Redis can't be told now it is told later:
// the cache remembers it here, and the facts start a job that does the same.
func (s *Server) invalidate(ctx context.Context, facts []events.Fact) {
	var tags []string
	for _, f := range facts {
		tags = append(tags, cachetag.TagsOf(f)...)
	}
	s.bump(ctx, tags)
}

// settling is how long after a job's end its invalidation may still be on its way. The end is dated before its
// transaction waits for locks, by another clock.
const settling = 30 * time.Second

// settle makes void what jobs have changed that have just ended, before the answer that says so. Their worker
// does the same after its commit and before it tells anybody; but who looks by himself may see the end first.
func (s *Server) settle(ctx context.Context, jobs ...store.Job) {
	var tags []string
	for _, j := range jobs {
		k := s.kinds[j.Kind]
		if k != nil && j.Status == store.Succeeded && j.FinishedAt != nil && time.Since(*j.FinishedAt) < settling {
			tags = append(tags, k.Changes...)
		}
	}
	s.bump(ctx, tags)
}

func (s *Server) bump(ctx context.Context, tags []string) {
	if s.Cache == nil || len(tags) == 0 {
		return
	}
	x := exchangeOf(ctx)
	if err := s.Cache.Bump(ctx, x.caller.OrganizationID, tags...); err != nil {
		s.Log.Debug("invalidation is owed", "request_id", x.id, "organization_id", x.caller.OrganizationID, "error", err)
	}
}
