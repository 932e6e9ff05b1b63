package pghealth

import (
	"testing"
	"time"
)

// Each of what tells that counters began anew does so by itself; a proper restart tells nothing.
func TestAnew(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	later := at.Add(time.Hour)
	before := run{At: at, SystemIdentifier: 1, DatabaseOID: 5, StatsReset: &at, StartedAt: at, Scans: 100, BlocksHit: 1000}
	for name, tt := range map[string]struct {
		change func(*run)
		want   bool
	}{
		"nothing":              {func(*run) {}, false},
		"a proper restart":     {func(r *run) { r.StartedAt = later; r.Scans = 120 }, false},
		"an index was dropped": {func(r *run) { r.Scans = 20 }, false},
		"a restart with less":  {func(r *run) { r.StartedAt = later; r.Scans = 20 }, true},
		"another server":       {func(r *run) { r.SystemIdentifier = 2 }, true},
		"another database":     {func(r *run) { r.DatabaseOID = 6 }, true},
		"a reset":              {func(r *run) { r.StatsReset = &later; r.Scans, r.BlocksHit = 200, 2000 }, true},
		"a first reset":        {func(r *run) { r.StatsReset = nil }, true},
		"fewer blocks":         {func(r *run) { r.BlocksHit = 10 }, true},
	} {
		next := before
		next.At = later
		tt.change(&next)
		if got := before.anew(next); got != tt.want {
			t.Errorf("%s: anew is %t", name, got)
		}
	}
}

// The points of a trend are spread over all samples, the first among them.
func TestPoints(t *testing.T) {
	t.Parallel()
	var runs []run
	for n := range 100 {
		runs = append(runs, run{At: time.Unix(int64(n), 0)})
	}
	for _, n := range []int{1, 2, 12, 48} {
		points := pointsOf(runs, n)
		if len(points) != n || points[0] != runs[0].At || n > 1 && points[n-1].Unix() < 50 {
			t.Errorf("%d points are %v", n, points)
		}
	}
	if points := pointsOf(runs[:3], 12); len(points) != 3 {
		t.Errorf("of 3 samples the points are %v", points)
	}
}
