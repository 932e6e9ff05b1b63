package pghealth

import (
	"fmt"
	"slices"
	"strings"
)

// sameKey compares the first n columns of two indexes in all that makes a difference to what they are good for.
func sameKey(a, b *Index, n int) bool {
	if a.Method != b.Method || a.Predicate != b.Predicate || b.KeyColumns < n || !slices.Equal(a.Columns[:n], b.Columns[:n]) ||
		!slices.Equal(a.Classes[:n], b.Classes[:n]) || !slices.Equal(a.Collations[:n], b.Collations[:n]) {
		return false
	}
	if len(a.Options) >= n && len(b.Options) >= n && !slices.Equal(a.Options[:n], b.Options[:n]) {
		return false
	}
	for k := range n {
		if a.Columns[k] == 0 && (len(a.Expressions) <= k || len(b.Expressions) <= k || a.Expressions[k] != b.Expressions[k]) {
			return false
		}
	}
	return true
}

// same says whether two indexes are the same but for what rests on them.
func same(a, b *Index) bool {
	return a.KeyColumns == b.KeyColumns && slices.Equal(a.Columns, b.Columns) && sameKey(a, b, a.KeyColumns)
}

// replaces says whether dropping a loses nothing that b doesn't have, b being the same.
func replaces(b, a *Index) bool {
	if !b.Valid || a.Partitioned != b.Partitioned {
		return false
	}
	return !a.Unique || b.Unique && b.Immediate && a.Immediate && a.NullsNotDistinct == b.NullsNotDistinct
}

// duplicates are indexes that another one of their table replaces. Of two that replace each other the one goes on
// which less rests, and of those the younger.
func (s survey) duplicates() (found []*Finding) {
	for _, list := range s.of {
		for _, a := range list {
			if !a.Valid || !a.droppable() && !a.droppableConstraint() {
				continue
			}
			k := slices.IndexFunc(list, func(b *Index) bool {
				return b != a && same(a, b) && replaces(b, a) && (!replaces(a, b) || a.standing() < b.standing() || a.standing() == b.standing() && a.OID > b.OID)
			})
			if k < 0 {
				continue
			}
			f := about(a, Duplicate, Warning, "It is the same as %s, and every write keeps both.", list[k].Name)
			f.Figures["other_size_bytes"], f.other = float64(list[k].Size), list[k]
			found = append(found, f)
		}
	}
	return found
}

// droppableConstraint says whether an index is that of a unique constraint on which nothing else rests.
func (i *Index) droppableConstraint() bool {
	return !i.Extension && i.Constraint != "" && i.Unique && i.Immediate && !i.Primary && !i.Exclusion && !i.ReplicaIdent && !i.Clustered && !i.Referenced &&
		i.ParentOID == 0 && !i.Partitioned
}

// standing is how much rests on an index.
func (i *Index) standing() (n int) {
	for k, rests := range []bool{i.Unique, i.Constraint != "", i.Clustered, i.Referenced, i.ReplicaIdent, i.Primary, i.ParentOID != 0} {
		if rests {
			n += 1 << k
		}
	}
	return n
}

// redundant are B-trees that another one begins with. It serves the same queries, from more blocks.
func (s survey) redundant() (found []*Finding) {
	for _, list := range s.of {
		for _, a := range list {
			if !a.Valid || a.Unique || a.Method != "btree" || !a.droppable() {
				continue
			}
			var longer *Index
			for _, b := range list {
				if b != a && beginsWith(b, a) && (longer == nil || b.Size < longer.Size) {
					longer = b
				}
			}
			if longer == nil {
				continue
			}
			f := about(a, RedundantStart, Info, "%s begins with the same columns, so it serves the same queries, from more blocks.", longer.Name)
			f.Figures["other_size_bytes"], f.other = float64(longer.Size), longer
			found = append(found, f)
		}
	}
	return found
}

// beginsWith says whether b has all of a, in the same order, and more.
func beginsWith(b, a *Index) bool {
	if !b.Valid || b.Partitioned != a.Partitioned || same(a, b) || !sameKey(a, b, a.KeyColumns) {
		return false
	}
	for _, included := range a.Columns[a.KeyColumns:] {
		if !slices.Contains(b.Columns, included) {
			return false
		}
	}
	return true
}

// invalid are indexes that writes keep and no query uses. One that is being built becomes valid by itself.
func (s survey) invalid() (found []*Finding) {
	hidden := false
	builds := make(map[uint32]Build)
	for _, b := range s.Builds {
		if b.IndexOID == nil {
			hidden = true
		} else {
			builds[*b.IndexOID] = b
		}
	}
	for _, i := range s.Indexes {
		if i.Valid {
			continue
		}
		if b, ok := builds[i.OID]; ok {
			found = append(found, building(i, b))
			continue
		}
		f := about(i, Invalid, Critical, "A build of it failed or was cancelled: writes keep it up, and no query uses it.")
		switch {
		case i.Partitioned:
			f.Severity, f.Why = Warning, "It is not complete: partitions of its table have no index that is attached to it."
		case !i.Ready:
			f.Severity, f.Why = Warning, "A build of it failed early, or dropping it was cut short: it holds its name and its space, and nothing uses it."
		}
		if leftBehind(i.Name) {
			f.Why += " REINDEX left it beside the index that it was to replace."
		}
		if hidden {
			f.Severity = Info
			f.Caveats = append(f.Caveats, "Another login is building an index, perhaps this one; it can't be seen from here.")
		}
		if i.Unique {
			f.Caveats = append(f.Caveats, "If it failed because of rows that are twice in the table, it will fail again until those are gone.")
		}
		found = append(found, f)
	}
	return found
}

func leftBehind(name string) bool {
	name = strings.TrimRight(name, "0123456789")
	return strings.HasSuffix(name, "_ccnew") || strings.HasSuffix(name, "_ccold")
}

func building(i *Index, b Build) *Finding {
	f := about(i, Building, Info, "It is being built.")
	if b.Phase != nil {
		f.Why = fmt.Sprintf("It is being built: %s.", *b.Phase)
	}
	for name, n := range map[string]*int64{"blocks_done": b.BlocksDone, "blocks_total": b.BlocksTotal, "lockers_done": b.LockersDone, "lockers_total": b.LockersAll} {
		if n != nil {
			f.Figures[name] = float64(*n)
		}
	}
	if b.Locker != nil {
		f.Caveats = append(f.Caveats, fmt.Sprintf("It waits for the transaction of process %d to end.", *b.Locker))
	}
	f.NoDDL = "It becomes valid by itself."
	return f
}
