package pghealth

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// counting are the access methods that are known to count their scans. Those of extensions may not.
var counting = []string{"btree", "hash", "gin", "gist", "spgist", "brin"}

// Judgement says why an index can't be told to be unused; "" where it can.
func (s survey) judgement(i *Index) string {
	u := s.h.Usage[i.OID]
	switch {
	case s.h.Window.Samples < s.t.UnusedSamples:
		return fmt.Sprintf("there are %d samples since counters last began anew, and %d are wanted", s.h.Window.Samples, s.t.UnusedSamples)
	case !i.Valid:
		return "it is not valid"
	case i.ParentOID != 0:
		return "it is a partition's, and judged with its parent"
	case !slices.Contains(counting, i.Method):
		return "the access method " + i.Method + " may not count its scans"
	case u == nil || u.From == nil:
		return "no sample has it yet"
	case !u.Whole && i.Partitioned:
		return "partitions came or went in the window"
	case !u.Whole:
		return "it is younger than the window, or its counters began anew in it"
	}
	return ""
}

// purpose says what an index is for beside being scanned; "": nothing.
func (s survey) purpose(i *Index) string {
	switch {
	case i.Extension:
		return "an extension made its table, and may count on it"
	case i.Primary:
		return "it is the primary key"
	case i.Exclusion:
		return "it keeps an exclusion constraint"
	case i.Unique:
		return "it keeps rows unique, which is not counted"
	case i.Constraint != "":
		return "it is that of a constraint"
	case i.ReplicaIdent:
		return "replication knows rows by it"
	case i.Referenced:
		return "foreign keys rest on it"
	case i.Clustered:
		return "its table is sorted by it"
	}
	for _, k := range s.Keys {
		if k.TableOID == i.TableOID && serves(i, k) && !slices.ContainsFunc(s.of[i.TableOID], func(o *Index) bool { return o != i && serves(o, k) }) {
			return "it is the only one for the foreign key " + k.Name
		}
	}
	return ""
}

// unused are indexes that nothing scanned in the whole window, nor before it as far as is known, and that have no
// other purpose.
func (s survey) unused() (found []*Finding) {
	for _, i := range s.Indexes {
		t := s.Tables[i.TableOID]
		if s.judgement(i) != "" || s.purpose(i) != "" || t == nil || i.Size < s.t.UnusedBytes || s.rows(t) < s.t.UnusedRows {
			continue
		}
		u := s.h.Usage[i.OID]
		if u.Delta.Scans > 0 || i.Counters.Scans > 0 || i.LastScan != nil && i.LastScan.After(s.Server.At.Add(-s.t.RecentlyUsed)) {
			continue
		}
		found = append(found, s.isUnused(i, u))
	}
	return found
}

func (s survey) isUnused(i *Index, u *Usage) *Finding {
	long := s.h.Window.Long()
	f := about(i, Unused, Info, "Nothing scanned it in %s, over %d samples.", spoken(long), s.h.Window.Samples)
	f.Figures["window_seconds"] = long.Round(time.Second).Seconds()
	f.Figures["samples"] = float64(s.h.Window.Samples)
	if n, ok := s.h.Tables[i.TableOID]; ok {
		f.Figures["table_writes"] = float64(n.Inserted + n.Updated + n.Deleted)
	}
	if long >= s.t.UnusedWeek && i.Size >= s.t.UnusedLarge && s.Server.Replicas == 0 {
		f.Severity = Warning
	}
	if long < s.t.UnusedMonth {
		f.Caveats = append(f.Caveats, fmt.Sprintf("This is judged over %s; what runs at the end of a week or a month may want it. Wait until it is a month.", spoken(long)))
	}
	f.Caveats = append(f.Caveats, s.elsewhere())
	if len(i.Expressions) > 0 {
		f.Caveats = append(f.Caveats, "It is on an expression: the planner's statistics of that expression go with it.")
	}
	return f
}

// elsewhere says what a server's own counters leave out.
func (s survey) elsewhere() string {
	if s.Server.Replicas > 0 {
		return fmt.Sprintf("Primary only: %d replicas follow this server, and what they scan is counted there. Look at theirs before.", s.Server.Replicas)
	}
	return "Primary only: what replicas scan is counted there, and none was looked at."
}

// rows is how many rows a table has, by whoever knows better.
func (s survey) rows(t *Table) int64 {
	n := max(int64(t.Rows), t.Live)
	for _, oid := range t.PartitionOIDs {
		if p := s.Tables[oid]; p != nil {
			n += s.rows(p)
		}
	}
	return n
}

// seqScans are large tables of which most scans read a good part from end to end.
func (s survey) seqScans() (found []*Finding) {
	days := s.h.Window.Long().Hours() / 24
	for oid, n := range s.h.Tables {
		t := s.Tables[oid]
		rows := s.rows(t)
		if s.h.Window.Samples < s.t.UnusedSamples || rows < s.t.SeqRows || n.SeqScans < s.t.SeqScans || float64(n.SeqScans) < days*s.t.SeqPerDay {
			continue
		}
		each := float64(n.SeqTuplesRead) / float64(n.SeqScans)
		share := float64(n.SeqScans) / float64(n.SeqScans+n.IndexScans)
		if each < s.t.SeqShare*float64(rows) || share <= s.t.SeqOfScans {
			continue
		}
		found = append(found, &Finding{Kind: SeqScans, Severity: Warning, Schema: t.Schema, Table: t.Name,
			Why: fmt.Sprintf("%d of %d scans in %s read it from end to end, %.0f of its %d rows each.", n.SeqScans, n.SeqScans+n.IndexScans,
				spoken(s.h.Window.Long()), each, rows),
			Figures: map[string]float64{"seq_scans": float64(n.SeqScans), "index_scans": float64(n.IndexScans), "rows": float64(rows),
				"rows_per_scan": each, "size_bytes": float64(t.Size)},
			NoDDL:   "Which columns an index should have depends on the queries: the log of slow queries and pg_stat_statements have them.",
			Caveats: []string{"Reports and exports that want all rows read a table from end to end rightly."}})
	}
	return found
}

// foreignKeys are those without an index on the referencing side: deleting what they refer to reads the whole table.
func (s survey) foreignKeys() (found []*Finding) {
	for _, k := range s.Keys {
		t, other := s.Tables[k.TableOID], s.Tables[k.OtherOID]
		if t == nil || other == nil || t.Extension || slices.ContainsFunc(s.of[k.TableOID], func(i *Index) bool { return serves(i, k) }) {
			continue
		}
		rows := s.rows(t)
		f := &Finding{Kind: MissingForKey, Severity: Info, Schema: t.Schema, Table: t.Name,
			Why: fmt.Sprintf("The foreign key %s (%s) has no index: to delete a row of %s, or change its key, all of %s is read.",
				k.Name, strings.Join(k.Names, ", "), other.Name, t.Name),
			Figures: map[string]float64{"rows": float64(rows), "size_bytes": float64(t.Size)}}
		n, known := s.h.Tables[k.OtherOID]
		if known {
			f.Figures["deleted_from_referenced"] = float64(n.Deleted)
		}
		switch {
		case known && n.Deleted+n.Updated == 0:
			f.Caveats = []string{"Nobody deleted from " + other.Name + " or changed it in the window; a table of which nothing goes needs no such index."}
		case rows >= s.t.ForeignRows:
			f.Severity = Warning
		}
		s.createFor(f, t, k)
		found = append(found, f)
	}
	return found
}

// serves says whether an index finds the rows of a foreign key: it begins with its columns, in whatever order. One
// that leaves out rows without a value will do.
func serves(i *Index, k ForeignKey) bool {
	n := len(k.Columns)
	if !i.Valid || i.KeyColumns < n || i.Method != "btree" && (i.Method != "hash" || n > 1) {
		return false
	}
	for _, column := range k.Columns {
		if !slices.Contains(i.Columns[:n], column) {
			return false
		}
	}
	return i.Predicate == "" || onlyLeavesOutNulls(i.Predicate, k.Names)
}

func onlyLeavesOutNulls(predicate string, columns []string) bool {
	for part := range strings.SplitSeq(strings.Trim(predicate, "()"), " AND ") {
		column, ok := strings.CutSuffix(strings.Trim(part, "() "), " IS NOT NULL")
		if !ok || !slices.Contains(columns, strings.Trim(column, `"`)) {
			return false
		}
	}
	return true
}

func spoken(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f seconds", d.Seconds())
}
