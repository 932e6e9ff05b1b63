package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	// Proxies give up after 60 s.
	maxWait = 55 * time.Second
	// Hints may be lost, so a waiter looks by itself as well.
	jobPoll = 500 * time.Millisecond
	// What belongs to the caller may be kept, and is asked for again each time.
	revalidate = "private, no-cache"
)

type jobInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
	Prefer      string `header:"Prefer" doc:"wait=N: answer when the job has ended, or after N seconds, 55 at most"`
}

type jobOutput struct {
	Status            int
	ETag              string `header:"ETag"`
	CacheControl      string `header:"Cache-Control"`
	RetryAfter        string `header:"Retry-After"`
	PreferenceApplied string `header:"Preference-Applied"`
	Body              jobView
}

// getJob reads a job. With Prefer: wait=N it answers once the job has ended, or after N seconds.
func (s *Server) getJob(ctx context.Context, in *jobInput) (*jobOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	out := &jobOutput{Status: http.StatusOK, CacheControl: revalidate}
	wait, asked := preferredWait(in.Prefer)
	var j store.Job
	if asked {
		x.lasting = true
		out.PreferenceApplied = "wait=" + strconv.Itoa(int(wait/time.Second))
		j, err = s.awaitJob(ctx, x.caller.OrganizationID, id, wait)
	} else {
		j, err = s.DB.Job(ctx, x.caller.OrganizationID, id)
	}
	if err != nil {
		return nil, err
	}
	s.settle(ctx, j)
	out.ETag = etagOf(j)
	out.RetryAfter = retryAfter(j, time.Now())
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	out.Body = viewOf(j)
	return out, nil
}

// awaitJob holds no connection to the database while it waits.
func (s *Server) awaitJob(ctx context.Context, organizationID, id string, wait time.Duration) (store.Job, error) {
	changed, stop := s.Hints.Job(id)
	defer stop()
	enough := time.NewTimer(wait)
	defer enough.Stop()
	poll := time.NewTicker(jobPoll)
	defer poll.Stop()
	for {
		j, err := s.DB.Job(ctx, organizationID, id)
		if err != nil || j.Terminal() || s.isDraining() {
			return j, err
		}
		select {
		case <-changed:
		case <-poll.C:
		case <-enough.C:
			return s.DB.Job(ctx, organizationID, id)
		case <-s.draining:
		case <-ctx.Done():
			return j, ctx.Err()
		}
	}
}

// preferredWait reads the wait preference of RFC 7240. What can't be read is ignored, as it says there.
func preferredWait(header string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(header, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, ok := strings.Cut(preference, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// matches compares as If-None-Match asks (RFC 9110, 13.1.2): weakly.
func matches(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == etag {
			return true
		}
	}
	return false
}
