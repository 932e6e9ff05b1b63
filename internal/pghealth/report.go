package pghealth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Options say what is examined, and how strictly.
type Options struct {
	Window     time.Duration // 0: as far as single samples reach
	Points     int           // of each index's trend; 0: 12
	Thresholds *Thresholds   // nil: DefaultThresholds
}

// A Report is what is known of the indexes of a database.
type Report struct {
	*Catalogue
	*History
	Findings []*Finding // the gravest first
	// Remarks hold for the whole report.
	Remarks []string
	survey  survey
}

// A BloatEstimate is which part of an index is empty, or why that can't be told.
type BloatEstimate struct {
	Share  *float64
	Reason string
}

// BloatOf estimates which part of an index is empty.
func (r *Report) BloatOf(i *Index) BloatEstimate {
	share, why := r.survey.bloatOf(i)
	return BloatEstimate{share, why}
}

// Unjudged says why nothing can be said about the use of an index; "" where it can.
func (r *Report) Unjudged(i *Index) string { return r.survey.judgement(i) }

// Purpose says what an index is for beside being scanned; "": nothing.
func (r *Report) Purpose(i *Index) string { return r.survey.purpose(i) }

// Examine looks at the indexes of a database, at what samples tell of them, and at what is wrong with them.
func Examine(ctx context.Context, tx pgx.Tx, o Options) (*Report, error) {
	if o.Window == 0 || o.Window > keptRaw {
		o.Window = keptRaw
	}
	if o.Points == 0 {
		o.Points = 12
	}
	limits := DefaultThresholds()
	if o.Thresholds != nil {
		limits = *o.Thresholds
	}
	c, err := Look(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := c.widths(ctx, tx); err != nil {
		return nil, fmt.Errorf("read how wide columns are: %w", err)
	}
	h, err := Recall(ctx, tx, c, o.Window, o.Points)
	if err != nil {
		return nil, err
	}
	r := &Report{Catalogue: c, History: h, survey: newSurvey(c, h, limits)}
	r.Findings = find(r.survey)
	if err := r.confirm(ctx, tx); err != nil {
		return nil, fmt.Errorf("confirm what is wrong with indexes: %w", err)
	}
	r.Findings = r.survey.together(r.Findings)
	r.remark()
	return r, nil
}

func (c *Catalogue) widths(ctx context.Context, tx pgx.Tx) error {
	byOID := make(map[uint32]*Index, len(c.Indexes))
	for _, i := range c.Indexes {
		byOID[i.OID] = i
	}
	rows, err := tx.Query(ctx, selectWidths)
	if err != nil {
		return err
	}
	var oid uint32
	var width, nulls float64
	var unknown int
	_, err = pgx.ForEachRow(rows, []any{&oid, &width, &nulls, &unknown}, func() error {
		if i := byOID[oid]; i != nil {
			i.KeyWidth, i.NullableWidths, i.WidthsUnknown = width, nulls, unknown
		}
		return nil
	})
	return err
}

// An index may become valid, or go, while one looks.
const selectStillInvalid = `
SELECT i.indexrelid FROM pg_index i
WHERE i.indexrelid = ANY ($1) AND NOT i.indisvalid AND NOT EXISTS (SELECT FROM index_builds() AS b WHERE b.index_oid = i.indexrelid)`

// Before the window, and between the samples of a trend, an index may have been used and its counters reset.
const selectUses = `
SELECT DISTINCT definition FROM index_samples WHERE taken_at >= $1 AND definition = ANY ($2) AND scans > 0
UNION
SELECT definition FROM index_sample_days WHERE day >= $3::timestamptz::date AND definition = ANY ($2) AND scans > 0`

// confirm takes back what a second look doesn't bear out, and writes the statements.
func (r *Report) confirm(ctx context.Context, tx pgx.Tx) error {
	var wanted, invalid []uint32
	var definitions []int64
	for _, f := range r.Findings {
		if f.index != nil {
			wanted = append(wanted, f.index.OID)
		}
		switch f.Kind {
		case Invalid:
			invalid = append(invalid, f.index.OID)
		case Unused:
			definitions = append(definitions, r.definitionsOf(f.index)...)
		}
	}
	texts, still, used := make(map[uint32]written), make(map[uint32]bool), make(map[int64]bool)
	b := &pgx.Batch{}
	b.Queue(selectWritten, wanted).Query(func(rows pgx.Rows) error {
		var oid uint32
		var w written
		_, err := pgx.ForEachRow(rows, []any{&oid, &w.definition, &w.tablespace, &w.comment}, func() error { texts[oid] = w; return nil })
		return err
	})
	b.Queue(selectStillInvalid, invalid).Query(func(rows pgx.Rows) error { return collect(rows, still) })
	now, limits := r.Server.At, r.survey.t
	b.Queue(selectUses, now.Add(-keptRaw), definitions, now.Add(-limits.RecentlyUsed)).Query(func(rows pgx.Rows) error { return collect(rows, used) })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f *Finding) bool {
		switch {
		case f.index == nil:
			return false
		case f.Kind == Invalid && !still[f.index.OID], texts[f.index.OID].definition == "":
			return true
		case f.Kind == Unused && slices.ContainsFunc(r.definitionsOf(f.index), func(d int64) bool { return used[d] }):
			return true
		}
		r.survey.write(f, texts[f.index.OID])
		return false
	})
	return nil
}

func collect[K comparable](rows pgx.Rows, into map[K]bool) error {
	var key K
	_, err := pgx.ForEachRow(rows, []any{&key}, func() error { into[key] = true; return nil })
	return err
}

// definitionsOf are those under which samples have an index: its own, or its children's.
func (r *Report) definitionsOf(i *Index) []int64 {
	if !i.Partitioned {
		return []int64{i.Definition}
	}
	var all []int64
	for _, child := range r.Indexes {
		if child.ParentOID == i.OID {
			all = append(all, r.definitionsOf(child)...)
		}
	}
	return all
}

func (r *Report) remark() {
	if r.Server.Major() >= 18 {
		r.Remarks = append(r.Remarks, "Postgres 18 can skip over the first column of an index where it has few values, so an index on a later column alone may be redundant, too. That is not looked for.")
	}
	if r.Server.InRecovery {
		r.Remarks = append(r.Remarks, "This server is a replica: these are its own counters.")
	} else {
		r.Remarks = append(r.Remarks, r.survey.elsewhere())
	}
	if r.Blind {
		r.Remarks = append(r.Remarks, "A table was locked, so sizes are those of the last VACUUM or ANALYZE, and some predicates and expressions were not compared.")
	}
}

// Density is how full an index is, measured by reading all of it.
type Density struct {
	Size          int64
	Leaf          float64 // how full leaves are, in per cent
	Fragmentation float64 // leaves that are not in order, in per cent
}

const selectDensity = `SELECT size_bytes, leaf_density, leaf_fragmentation FROM index_density($1)`

// Measure reads a whole index to tell how full it is, or says why it can't.
func Measure(ctx context.Context, tx pgx.Tx, i *Index) (d *Density, why string, err error) {
	var list []*Density
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectDensity, i.OID)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Density])
		return err
	})
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return nil, "the server said: " + pg.Message, nil
	case err != nil:
		return nil, "", fmt.Errorf("measure index %s: %w", i.Label(), err)
	case len(list) == 0:
		return nil, "the extension pgstattuple is not installed in the database", nil
	}
	return list[0], "", nil
}

// A Day is what an index did on one, UTC.
type Day struct {
	Day      time.Time
	Counters Counters
	Size     int64
	Samples  int
}

const selectDays = `
SELECT day, scans, tuples_read, blocks_hit, blocks_read, size_bytes, samples
FROM index_sample_days WHERE definition = $1 ORDER BY day`

// Days tells what an index did on each day that is over, for as long as that is kept.
func Days(ctx context.Context, tx pgx.Tx, i *Index) ([]Day, error) {
	rows, err := tx.Query(ctx, selectDays, i.Definition)
	if err != nil {
		return nil, fmt.Errorf("read the days of index %s: %w", i.Label(), err)
	}
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Day, err error) {
		n := &d.Counters
		return d, row.Scan(&d.Day, &n.Scans, &n.TuplesRead, &n.BlocksHit, &n.BlocksRead, &d.Size, &d.Samples)
	})
	if err != nil {
		return nil, fmt.Errorf("read the days of index %s: %w", i.Label(), err)
	}
	return days, nil
}
