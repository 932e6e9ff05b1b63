package api

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/payaid/payaid/internal/pghealth"
)

// indexHealthViewOf shows a report, or what it has of one index.
func indexHealthViewOf(r *pghealth.Report, only string) indexHealthView {
	v := indexHealthView{
		Server:          indexServerView{Version: r.Server.Version, StartedAt: r.Server.StartedAt.UTC(), InRecovery: r.Server.InRecovery, Replicas: r.Server.Replicas},
		StatisticsSince: utc(r.Server.StatisticsSince), GeneratedAt: r.Server.At.UTC(),
		Window:  indexWindowView{From: utc(r.Window.From), To: r.Window.To.UTC(), Samples: r.Window.Samples, Reset: utc(r.Window.Reset)},
		Indexes: []indexView{}, Findings: []indexFindingView{}, Remarks: r.Remarks, Days: []indexDayView{}, Unmeasured: []unmeasured{},
	}
	if r.Window.From != nil {
		v.CacheHitRate = ratio(r.Hit, r.Hit+r.Read)
	}
	names := make(map[uint32]string, len(r.Indexes))
	for _, i := range r.Indexes {
		names[i.OID] = i.Name
	}
	for _, i := range r.Indexes {
		if only == "" || i.Name == only || i.Label() == only {
			v.Indexes = append(v.Indexes, indexViewOf(r, i, names[i.ParentOID]))
		}
	}
	slices.SortStableFunc(v.Indexes, func(a, b indexView) int {
		return cmp.Or(cmp.Compare(b.Scans, a.Scans), strings.Compare(a.SchemaName, b.SchemaName), strings.Compare(a.IndexName, b.IndexName))
	})
	for _, f := range r.Findings {
		if only == "" || f.Index == only || f.Schema+"."+f.Index == only {
			v.Findings = append(v.Findings, indexFindingViewOf(f))
		}
	}
	for _, figure := range []struct {
		name, reason string
		there        bool
	}{
		{"statistics_since", "the server doesn't say", v.StatisticsSince != nil},
		{"window.from", "no sample was taken since counters last began anew; db.index_sample takes one every hour", v.Window.From != nil},
		{"cache_hit_rate", "nothing was read in the window, or there is none", v.CacheHitRate != nil},
		{"last_scan_at", "only Postgres 16 and later tell when an index was last scanned", r.LastScans()},
	} {
		if !figure.there {
			v.Unmeasured = append(v.Unmeasured, unmeasured{figure.name, figure.reason})
		}
	}
	return v
}

func indexViewOf(r *pghealth.Report, i *pghealth.Index, parent string) indexView {
	v := indexView{
		SchemaName: i.Schema, TableName: i.Table, IndexName: i.Name, Scans: i.Counters.Scans, TuplesRead: i.Counters.TuplesRead,
		TuplesFetch: i.Counters.TuplesFetched, ReadPerScan: ratio(i.Counters.TuplesRead, i.Counters.Scans), SizeBytes: i.Size, Method: i.Method,
		Unique: i.Unique, Primary: i.Primary, Valid: i.Valid, Partitioned: i.Partitioned, PartitionOf: unlessBlank(parent), Purpose: unlessBlank(r.Purpose(i)),
		LastScanAt: utc(i.LastScan), Trend: []indexPointView{}, Unmeasured: []unmeasured{},
	}
	missing := func(figure, reason string) { v.Unmeasured = append(v.Unmeasured, unmeasured{figure, reason}) }
	if why := r.Unjudged(i); why != "" {
		missing("unused", why)
	}
	estimate := r.BloatOf(i)
	if v.Bloat = rounded(estimate.Share); v.Bloat == nil {
		missing("bloat", estimate.Reason)
	}
	u := r.Usage[i.OID]
	if u == nil || u.From == nil {
		missing("window", "no sample of the window has it")
		missing("cache_hit_rate", "no sample of the window has it")
		return v
	}
	v.Window = &indexUsageView{From: u.From.UTC(), Whole: u.Whole, Scans: u.Delta.Scans, TuplesRead: u.Delta.TuplesRead,
		TuplesFetch: u.Delta.TuplesFetched, BlocksHit: u.Delta.BlocksHit, BlocksRead: u.Delta.BlocksRead}
	if v.CacheHitRate = rounded(u.Delta.HitRate()); v.CacheHitRate == nil {
		missing("cache_hit_rate", "nothing was read of it in the window")
	}
	for _, p := range u.Trend {
		v.Trend = append(v.Trend, indexPointView{At: p.At.UTC(), Scans: p.Delta.Scans, TuplesRead: p.Delta.TuplesRead,
			CacheHitRate: rounded(p.Delta.HitRate()), SizeBytes: p.Size, Anew: p.Anew})
	}
	return v
}

func indexFindingViewOf(f *pghealth.Finding) indexFindingView {
	return indexFindingView{Kind: f.Kind, Severity: f.Severity, Schema: f.Schema, Table: f.Table, Index: unlessBlank(f.Index), Why: f.Why, Figures: f.Figures,
		DDL:     indexDDLView{Mend: append([]string{}, f.Mend...), Undo: append([]string{}, f.Undo...), Reason: unlessBlank(f.NoDDL)},
		Caveats: append([]string{}, f.Caveats...), Kept: unlessBlank(f.Kept)}
}

// rounded leaves as many digits as such figures mean.
func rounded(part *float64) *float64 {
	if part == nil {
		return nil
	}
	return ratio(int64(math.Round(*part*1e6)), 1e6)
}
