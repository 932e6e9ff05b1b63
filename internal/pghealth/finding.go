package pghealth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kinds of findings.
const (
	Unused         = "unused"           // nothing scanned it in the window
	Duplicate      = "duplicate"        // another index is the same
	RedundantStart = "redundant_prefix" // another index begins with it
	Invalid        = "invalid"          // left behind by a build that failed
	Building       = "building"         // not valid yet
	MissingForKey  = "missing_fk_index" // of a foreign key
	SeqScans       = "seq_scan_heavy"   // a table that is mostly read from end to end
	Bloat          = "bloat"            // an index that is mostly empty
)

// Severities of findings.
const (
	Critical = "critical" // it costs, and does nothing
	Warning  = "warning"  // worth mending
	Info     = "info"     // worth knowing
)

// A Finding is something about an index or a table that its owner should know.
type Finding struct {
	Kind, Severity       string
	Schema, Table, Index string // Index is "" where it is about the table
	Why                  string
	Figures              map[string]float64
	// Mend are the statements that mend it, each by itself and outside a transaction, and Undo those that take this
	// back. NoDDL says why there are none to mend it with.
	Mend, Undo []string
	NoDDL      string
	Caveats    []string
	// Kept says why it is left as it is on purpose; "": it isn't.
	Kept string

	index *Index // whose definition is wanted for Mend and Undo
	other *Index // that takes its place; nil: none has to
}

// Thresholds say from where on something is worth a finding.
type Thresholds struct {
	// Smaller indexes, and those of smaller tables, cost nothing, and the planner may do well without them.
	UnusedBytes, UnusedRows int64
	// Of two samples one may have come just before the work of the day.
	UnusedSamples int
	// What runs once a week, and then once a month, has had its chance after these. Single samples are kept for 30
	// days.
	UnusedWeek, UnusedMonth time.Duration
	// A larger index that is unused is a warning.
	UnusedLarge int64

	SeqRows      int64   // of the table, at least
	SeqScans     int64   // in the window, at least: a backup reads each table, too
	SeqPerDay    float64 // at least
	SeqShare     float64 // of the rows, read by one scan
	SeqOfScans   float64 // of all scans
	BloatBytes   int64
	BloatShare   float64 // of the index; keys in random order fill leaves to 70 %, which is none
	ForeignRows  int64   // of the referencing table, for a warning
	RecentlyUsed time.Duration
}

// DefaultThresholds are those of the usual tools, or more careful.
func DefaultThresholds() Thresholds {
	const day = 24 * time.Hour
	return Thresholds{
		UnusedBytes: 128 << 10, UnusedRows: 1000, UnusedSamples: 2, UnusedWeek: 7 * day, UnusedMonth: 29 * day, UnusedLarge: 10 << 20,
		SeqRows: 10_000, SeqScans: 20, SeqPerDay: 5, SeqShare: 0.1, SeqOfScans: 0.5,
		BloatBytes: 100 << 20, BloatShare: 0.5, ForeignRows: 10_000, RecentlyUsed: 35 * day,
	}
}

// find gathers what can be told from the catalogue and its history.
func find(s survey) []*Finding {
	var all []*Finding
	for _, look := range []func() []*Finding{s.invalid, s.duplicates, s.redundant, s.unused, s.foreignKeys, s.seqScans, s.bloat} {
		all = append(all, look()...)
	}
	for _, f := range all {
		if f.index == nil || f.Kind == Invalid || f.Kind == Building || f.Kind == Bloat {
			continue
		}
		f.Kept = keptOnPurpose[f.Schema+"."+f.Index]
		if strings.HasPrefix(f.Table, "river_") {
			f.Kept = rivers
		}
		if f.Kept != "" {
			f.Severity = Info
		}
	}
	gravity := []string{Critical, Warning, Info}
	slices.SortStableFunc(all, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(gravity, a.Severity), slices.Index(gravity, b.Severity)),
			strings.Compare(a.Kind, b.Kind), strings.Compare(a.Table, b.Table), strings.Compare(a.Index, b.Index))
	})
	return all
}

// Operators find these by name, and payaid doctor looks for them.
var keptOnPurpose = map[string]string{
	"public.idx_contacts_org_id":     guides,
	"public.idx_invoices_org_id":     guides,
	"public.idx_deals_org_id":        guides,
	"public.idx_contacts_org_status": guides,
	"public.idx_deals_org_stage":     guides,
	"public.idx_invoices_org_status": guides,
}

const guides = "PayAid's migrations make this index, and payaid doctor looks for it by its name. Another one serves the same queries, so it may be dropped where space or writes matter more."

const rivers = "River's migrations made this index, and a later one that names it would fail without it."

// survey is one pass of finding.
type survey struct {
	*Catalogue
	h     *History
	t     Thresholds
	of    map[uint32][]*Index // by table
	taken map[string]bool     // names of relations, with their schema
}

func newSurvey(c *Catalogue, h *History, t Thresholds) survey {
	s := survey{c, h, t, make(map[uint32][]*Index), make(map[string]bool)}
	for _, i := range c.Indexes {
		s.of[i.TableOID] = append(s.of[i.TableOID], i)
		s.taken[i.Label()] = true
	}
	for _, t := range c.Tables {
		s.taken[t.Label()] = true
	}
	return s
}

func about(i *Index, kind, severity, why string, args ...any) *Finding {
	return &Finding{Kind: kind, Severity: severity, Schema: i.Schema, Table: i.Table, Index: i.Name, Why: fmt.Sprintf(why, args...),
		Figures: map[string]float64{"size_bytes": float64(i.Size)}, index: i}
}

// droppable says whether nothing but queries rests on an index.
func (i *Index) droppable() bool {
	return !i.Extension && !i.Primary && !i.Exclusion && !i.ReplicaIdent && !i.Clustered && !i.Referenced && i.Constraint == "" && i.ParentOID == 0
}

// Counts are the findings by kind, without what is kept on purpose.
func Counts(all []*Finding) map[string]int {
	counts := make(map[string]int)
	for _, f := range all {
		if f.Kept == "" {
			counts[f.Kind]++
		}
	}
	return counts
}
