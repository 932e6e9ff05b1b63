package pghealth

import "slices"

// together takes back what would hurt whoever follows all advice at once: each finding is right by itself, and leans
// on indexes that another one might say to drop.
func (s survey) together(all []*Finding) []*Finding {
	unused, gives := make(map[*Index]bool), make(map[*Index]*Index)
	for _, f := range all {
		switch f.Kind {
		case Unused:
			unused[f.index] = true
		case Duplicate, RedundantStart:
			gives[f.index] = f.other
		}
	}
	stays := s.heirs(unused, gives)
	for _, k := range s.Keys {
		if i := s.lastFor(k, unused, gives, stays); i != nil {
			stays[i] = true
		}
	}
	return slices.DeleteFunc(all, func(f *Finding) bool { return f.Kind == Unused && stays[f.index] })
}

// heirs are the indexes to which scans go over from those that are dropped in their favour. That nothing scanned
// them until now says nothing.
func (s survey) heirs(unused map[*Index]bool, gives map[*Index]*Index) map[*Index]bool {
	heirs := make(map[*Index]bool)
	for i, heir := range gives {
		for next := gives[heir]; next != nil; next = gives[heir] {
			heir = next
		}
		if !unused[i] {
			heirs[heir] = true
		}
	}
	return heirs
}

// lastFor is the smallest index to keep for a foreign key, if all that serve it were to go; nil: one stays.
func (s survey) lastFor(k ForeignKey, unused map[*Index]bool, gives map[*Index]*Index, stays map[*Index]bool) *Index {
	var last *Index
	for _, i := range s.of[k.TableOID] {
		switch {
		case !serves(i, k) || gives[i] != nil:
		case !unused[i] || stays[i]:
			return nil
		case last == nil || i.Size < last.Size:
			last = i
		}
	}
	return last
}
