package workers

import (
	"fmt"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// A worker counts failures in advance where there are too many.
func TestFailuresAreSampled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.owner(`INSERT INTO job_attempts (organization_id, river_job_id, kind, queue, run, attempt, outcome, code, fingerprint)
		SELECT gen_random_uuid(), i, 'k', 'cache', 1, 1, 'failed', 'x', lpad(i % 7 || '', 16, '0') FROM generate_series(1, $1) AS i`, store.MostLiveFailures+1)
	s.worker()
	eventually(t, "the failures are counted", func() error {
		if got := s.count(`SELECT count(*) FROM failure_groups`); got != 7*len(store.FailureSpans()) {
			return fmt.Errorf("%d groups", got)
		}
		return nil
	})
	for span, want := range map[store.FailureSpan]time.Duration{store.LastHour: 20 * time.Second, store.LastDay: 6 * time.Minute, store.LastWeek: 10 * time.Minute} {
		if got := sampleEvery(span); got != want {
			t.Errorf("the last %s is counted every %s, want %s", span.Length, got, want)
		}
	}
}
