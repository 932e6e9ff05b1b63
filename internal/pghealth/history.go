package pghealth

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Window is the time over which the work of indexes is judged: from a sample until now, without a reset in between.
type Window struct {
	From    *time.Time // nil: there is no sample since the last reset
	To      time.Time
	Samples int // within it, the look at To not counted
	// Reset is when counters last began anew among the samples that are kept: nothing before it counts.
	Reset *time.Time
}

// Long is how long the window is; 0 without one.
func (w Window) Long() time.Duration {
	if w.From == nil {
		return 0
	}
	return w.To.Sub(*w.From)
}

// Usage is what an index did in the window.
type Usage struct {
	// From is the first sample that has the index; nil: none has, and the rest means nothing.
	From  *time.Time
	Whole bool // it was there when the window began, and its counters did not begin anew since
	Delta Counters
	Trend []Point
}

// A Point is what an index did from the point before until then.
type Point struct {
	At    time.Time
	Delta Counters
	Size  int64
	Anew  bool // its counters began anew since the point before
}

// History is what samples tell of a catalogue.
type History struct {
	Window Window
	Usage  map[uint32]*Usage        // by the index's oid
	Tables map[uint32]TableCounters // what tables did in the whole window, by oid; absent: not known
	// Hit and Read are blocks of the database in the window.
	Hit, Read int64
}

// run is a row of index_sample_runs.
type run struct {
	At               time.Time
	SystemIdentifier int64
	DatabaseOID      uint32
	StatsReset       *time.Time
	StartedAt        time.Time
	Scans            int64
	BlocksHit        int64
	BlocksRead       int64
}

const selectRuns = `
SELECT taken_at, system_identifier, database_oid, stats_reset_at, server_started_at, index_scans, blocks_hit, blocks_read
FROM index_sample_runs WHERE taken_at >= $1 ORDER BY taken_at`

// anew says whether counters began anew between two looks. A server that was stopped properly keeps them.
func (r run) anew(next run) bool {
	same := r.SystemIdentifier == next.SystemIdentifier && r.DatabaseOID == next.DatabaseOID &&
		(r.StatsReset == nil) == (next.StatsReset == nil) && (r.StatsReset == nil || r.StatsReset.Equal(*next.StatsReset))
	restarted := !r.StartedAt.Equal(next.StartedAt)
	return !same || restarted && next.Scans < r.Scans || next.BlocksHit < r.BlocksHit
}

// now is the catalogue as a run.
func (c *Catalogue) now() run {
	r := run{At: c.Server.At, SystemIdentifier: c.Server.SystemIdentifier, DatabaseOID: c.Server.DatabaseOID,
		StatsReset: c.Server.StatisticsSince, StartedAt: c.Server.StartedAt, BlocksHit: c.Server.BlocksHit, BlocksRead: c.Server.BlocksRead}
	for _, i := range c.Indexes {
		if !i.Partitioned {
			r.Scans += i.Counters.Scans
		}
	}
	return r
}

// windowOf gives the window that ends now, and the samples in it.
func windowOf(runs []run, now run) (Window, []run) {
	w := Window{To: now.At}
	first := 0
	for i := range runs {
		next := now
		if i+1 < len(runs) {
			next = runs[i+1]
		}
		if runs[i].anew(next) {
			first = i + 1
			w.Reset = &next.At
		}
	}
	runs = runs[first:]
	if len(runs) > 0 {
		w.From, w.Samples = &runs[0].At, len(runs)
	}
	if now.StatsReset != nil && w.Reset != nil {
		w.Reset = now.StatsReset
	}
	return w, runs
}

// pointsOf chooses so many of the samples, evenly, the first among them.
func pointsOf(runs []run, most int) []time.Time {
	var chosen []time.Time
	last := -1
	for k := range most {
		if i := k * len(runs) / most; i < len(runs) && i != last {
			chosen = append(chosen, runs[i].At)
			last = i
		}
	}
	return chosen
}

// Recall reads what samples of the last while tell, with a trend of at most so many points.
func Recall(ctx context.Context, tx pgx.Tx, c *Catalogue, long time.Duration, points int) (*History, error) {
	rows, err := tx.Query(ctx, selectRuns, c.Server.At.Add(-long))
	if err != nil {
		return nil, fmt.Errorf("read when samples were taken: %w", err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[run])
	if err != nil {
		return nil, fmt.Errorf("read when samples were taken: %w", err)
	}
	h := &History{Usage: make(map[uint32]*Usage), Tables: make(map[uint32]TableCounters)}
	now := c.now()
	h.Window, runs = windowOf(runs, now)
	if len(runs) == 0 {
		return h, nil
	}
	h.Hit, h.Read = now.BlocksHit-runs[0].BlocksHit, now.BlocksRead-runs[0].BlocksRead
	if err := h.read(ctx, tx, c, pointsOf(runs, points)); err != nil {
		return nil, fmt.Errorf("read samples of the indexes: %w", err)
	}
	return h, nil
}

const selectIndexSamples = `
SELECT taken_at, index_oid, definition, scans, tuples_read, tuples_fetched, blocks_hit, blocks_read, size_bytes
FROM index_samples WHERE taken_at = ANY ($1)`

const selectTableSamples = `
SELECT table_oid, seq_scans, seq_tuples_read, index_scans, inserted, updated, deleted FROM table_samples WHERE taken_at = $1`

// indexSample is a row of index_samples.
type indexSample struct {
	At         time.Time
	OID        uint32
	Definition int64
	Counters   Counters
	Size       int64
}

// moment is what one sample has of indexes.
type moment struct {
	byOID        map[uint32]*indexSample
	byDefinition map[int64]*indexSample
}

func (h *History) read(ctx context.Context, tx pgx.Tx, c *Catalogue, at []time.Time) error {
	moments := make(map[time.Time]moment)
	for _, t := range at {
		moments[t] = moment{make(map[uint32]*indexSample), make(map[int64]*indexSample)}
	}
	b := &pgx.Batch{}
	b.Queue(selectIndexSamples, at).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*indexSample, error) {
			var s indexSample
			n := &s.Counters
			return &s, row.Scan(&s.At, &s.OID, &s.Definition, &n.Scans, &n.TuplesRead, &n.TuplesFetched, &n.BlocksHit, &n.BlocksRead, &s.Size)
		})
		for _, s := range list {
			if m, ok := moments[s.At]; ok {
				m.byOID[s.OID], m.byDefinition[s.Definition] = s, s
			}
		}
		return err
	})
	b.Queue(selectTableSamples, at[0]).Query(func(rows pgx.Rows) error {
		var oid uint32
		var n TableCounters
		_, err := pgx.ForEachRow(rows, []any{&oid, &n.SeqScans, &n.SeqTuplesRead, &n.IndexScans, &n.Inserted, &n.Updated, &n.Deleted}, func() error {
			if t := c.Tables[oid]; t != nil {
				if d, anew := t.Counters.since(n); !anew {
					h.Tables[oid] = d
				}
			}
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	for _, i := range c.Indexes {
		if !i.Partitioned {
			h.Usage[i.OID] = usageOf(i, at, moments, h.Window.To)
		}
	}
	h.sumUp(c)
	return nil
}

// usageOf follows an index through the samples by its oid, or where that one wasn't there yet, by its definition.
func usageOf(i *Index, at []time.Time, moments map[time.Time]moment, now time.Time) *Usage {
	u := &Usage{}
	var before Counters
	step := func(t time.Time, n Counters, size int64) {
		d, anew := n.since(before)
		before = n
		if u.From == nil {
			u.From, u.Whole = &t, t.Equal(at[0])
			return
		}
		u.Whole = u.Whole && !anew
		u.Delta.add(d)
		u.Trend = append(u.Trend, Point{At: t, Delta: d, Size: size, Anew: anew})
	}
	for _, t := range at {
		m := moments[t]
		s := m.byOID[i.OID]
		if s == nil {
			s = m.byDefinition[i.Definition]
		}
		if s != nil {
			step(t, s.Counters, s.Size)
		}
	}
	if u.From == nil {
		return u
	}
	step(now, i.Counters, i.Size)
	return u
}

// sumUp gives the indexes of partitioned tables what their children did. Where a partition is younger than the window,
// what older ones did that are gone is not known, and the whole is not whole.
func (h *History) sumUp(c *Catalogue) {
	byOID := make(map[uint32]*Index, len(c.Indexes))
	for _, i := range c.Indexes {
		byOID[i.OID] = i
	}
	for _, child := range c.Indexes {
		u := h.Usage[child.OID]
		if child.Partitioned || u == nil || u.From == nil {
			continue
		}
		for up := byOID[child.ParentOID]; up != nil; up = byOID[up.ParentOID] {
			sum := h.Usage[up.OID]
			if sum == nil {
				sum = &Usage{From: u.From, Whole: u.Whole}
				h.Usage[up.OID] = sum
			}
			sum.merge(u)
		}
	}
}

// merge adds what another did.
func (u *Usage) merge(v *Usage) {
	u.Delta.add(v.Delta)
	u.Whole = u.Whole && v.Whole
	if v.From.Before(*u.From) {
		u.From = v.From
	}
	for _, p := range v.Trend {
		k := 0
		for k < len(u.Trend) && u.Trend[k].At.Before(p.At) {
			k++
		}
		if k < len(u.Trend) && u.Trend[k].At.Equal(p.At) {
			u.Trend[k].Delta.add(p.Delta)
			u.Trend[k].Size += p.Size
			u.Trend[k].Anew = u.Trend[k].Anew || p.Anew
			continue
		}
		u.Trend = append(u.Trend, Point{})
		copy(u.Trend[k+1:], u.Trend[k:])
		u.Trend[k] = p
	}
}
