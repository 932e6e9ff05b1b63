package pghealth

import (
	"fmt"
	"math"
)

const (
	pageOverhead  = 24 + 16 // header, and what a B-tree keeps at a page's end
	tupleOverhead = 8       // of an index tuple
	nullBitmap    = 4
	itemPointer   = 4
	alignment     = 8
)

// bloatOf estimates which part of a B-tree its keys would not need, from the number of rows and the width of its
// columns, without reading it. Where it can't be told it says why. Equal keys take less room than they are reckoned
// with, so the estimate is too low rather than too high.
func (s survey) bloatOf(i *Index) (share *float64, why string) {
	t := s.Tables[i.TableOID]
	switch {
	case i.Method != "btree":
		return nil, "only B-trees can be estimated"
	case i.Partitioned:
		return nil, "it has no storage; its partitions' indexes have"
	case !i.Valid:
		return nil, "it is not valid"
	case i.Rows < 0 || t == nil || t.Rows < 0:
		return nil, "its table was neither vacuumed nor analyzed yet"
	case i.WidthsUnknown > 0:
		return nil, "there are no statistics of its columns"
	case i.Size == 0:
		return nil, "it is empty"
	}
	rows := i.Rows
	if i.Predicate == "" {
		// Rows that came since the last VACUUM fill pages, too.
		rows = math.Max(rows, float64(t.Live))
	}
	tuple := float64(tupleOverhead)
	if i.NullableWidths > 0 {
		tuple += nullBitmap
	}
	aligned := func(n float64) float64 { return math.Ceil(n/alignment) * alignment }
	tuple = itemPointer + aligned(aligned(tuple)+i.KeyWidth)
	perPage := math.Max(1, math.Floor(float64(s.Server.BlockSize-pageOverhead)*float64(i.FillFactor)/100/tuple))
	leaves := math.Ceil(rows / perPage)
	// The pages above the leaves point to one page for each entry, and the first page is the tree's own.
	needed := 1 + leaves + math.Ceil(leaves/perPage) + 1
	bloat := math.Max(0, 1-needed/(float64(i.Size)/float64(s.Server.BlockSize)))
	return &bloat, ""
}

// bloat are indexes that are mostly empty, of a size that matters.
func (s survey) bloat() (found []*Finding) {
	for _, i := range s.Indexes {
		if i.Size < s.t.BloatBytes {
			continue
		}
		share, _ := s.bloatOf(i)
		if share == nil || *share < s.t.BloatShare {
			continue
		}
		f := about(i, Bloat, Warning, "About %.0f %% of its %d MB are empty.", 100**share, i.Size>>20)
		f.Figures["bloat"] = *share
		f.Figures["bloat_bytes"] = math.Round(*share * float64(i.Size))
		f.Caveats = []string{"This is an estimate from the planner's statistics."}
		if s.Server.Density {
			f.Caveats = append(f.Caveats, fmt.Sprintf("To measure it, which reads all of it: GET /api/system/index-health?measure=true&index=%s", i.Label()))
		}
		found = append(found, f)
	}
	return found
}
