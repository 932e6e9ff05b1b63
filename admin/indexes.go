package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// An indexesPage is how indexes do, in the order and as far as it was asked for.
type indexesPage struct {
	operator.IndexHealth
	Query  url.Values
	Narrow bool
	Kinds  []string // of findings
	Sorts  []string
	Hidden int // findings that are left as they are on purpose
}

var (
	findingKinds = []string{"invalid", "building", "duplicate", "redundant_prefix", "unused", "missing_fk_index", "bloat", "seq_scan_heavy"}
	indexSorts   = []string{"scans", "size", "bloat", "hits", "name"}
)

// indexes shows how the indexes of the database do, and the statements that mend what is wrong.
func (p *Pages) indexes(r *request) error {
	if name := r.FormValue("index"); name != "" {
		return r.oneIndex(name)
	}
	data := indexesPage{Query: r.URL.Query(), Kinds: findingKinds, Sorts: indexSorts, Narrow: r.narrowed("q", "finding", "kept")}
	if err := r.client.Get(r.Context(), "/api/system/index-health", r.filters("days"), &data.IndexHealth); err != nil {
		return err
	}
	data.narrow()
	data.sort(r.FormValue("sort"))
	return r.render(http.StatusOK, "indexes", "Indexes", data)
}

// narrow leaves what the filters let through.
func (d *indexesPage) narrow() {
	part, kind, kept := strings.ToLower(d.Query.Get("q")), d.Query.Get("finding"), d.Query.Get("kept") != ""
	named := func(table, name string) bool {
		return strings.Contains(strings.ToLower(table), part) || strings.Contains(strings.ToLower(name), part)
	}
	found := make(map[string]bool)
	d.Findings = slices.DeleteFunc(d.Findings, func(f operator.IndexFinding) bool {
		name := ""
		if f.Index != nil {
			name = *f.Index
		}
		if !named(f.Table, name) || kind != "" && f.Kind != kind {
			return true
		}
		if f.Kept != nil && !kept {
			d.Hidden++
			return true
		}
		found[f.Schema+"."+name] = true
		return false
	})
	d.Indexes = slices.DeleteFunc(d.Indexes, func(i operator.Index) bool {
		return !named(i.Table, i.Name) || kind != "" && !found[i.Schema+"."+i.Name]
	})
}

// sort puts the indexes into an order; any other word than those that there are is by scans.
func (d *indexesPage) sort(by string) {
	number := func(p *float64) float64 {
		if p == nil {
			return -1
		}
		return *p
	}
	orders := map[string]func(a, b operator.Index) int{
		"size":  func(a, b operator.Index) int { return cmp.Compare(b.SizeBytes, a.SizeBytes) },
		"bloat": func(a, b operator.Index) int { return cmp.Compare(number(b.Bloat), number(a.Bloat)) },
		"hits":  func(a, b operator.Index) int { return cmp.Compare(number(a.CacheHitRate), number(b.CacheHitRate)) },
		"name": func(a, b operator.Index) int {
			return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
		},
	}
	if order := orders[by]; order != nil {
		slices.SortStableFunc(d.Indexes, order)
	}
}

// An indexPage is one index, with what it did on each day.
type indexPage struct {
	operator.IndexHealth
	Index  operator.Index
	Charts []chart
}

// oneIndex shows a single index.
func (r *request) oneIndex(name string) error {
	query := url.Values{"index": {name}}
	if r.FormValue("measure") != "" {
		query.Set("measure", "true")
	}
	var data indexPage
	if err := r.client.Get(r.Context(), "/api/system/index-health", query, &data.IndexHealth); err != nil {
		return err
	}
	if len(data.Indexes) == 0 {
		return r.refuse(http.StatusNotFound, "There is no such index", "It may have been dropped since.")
	}
	data.Index = data.Indexes[0]
	data.Charts = indexCharts(data.Days)
	return r.renderAt(http.StatusOK, "index", []crumb{{Title: "Indexes", Path: "/admin/indexes"}, {Title: data.Index.Name}}, data)
}

func indexCharts(days []operator.IndexDay) []chart {
	if len(days) < 2 {
		return nil
	}
	var at []time.Time
	var scans, sizes []*float64
	for _, d := range days {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue
		}
		n, size := float64(d.Scans), float64(d.SizeBytes)/1e6
		at, scans, sizes = append(at, day), append(scans, &n), append(sizes, &size)
	}
	if len(at) > 1 && at[0].After(at[1]) {
		slices.Reverse(at)
		slices.Reverse(scans)
		slices.Reverse(sizes)
	}
	return []chart{{Title: "Scans a day", At: at, Series: []series{{Name: "scans", Values: scans, Bars: true}}},
		{Title: "Size", Unit: "MB", At: at, Series: []series{{Name: "size", Values: sizes}}}}
}

// sampleIndexes has the counters of indexes written down now, and leads to the job that does it.
func (p *Pages) sampleIndexes(r *request) error {
	var made operator.Submitted
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/indexes/sample", nil, &made); err != nil {
		return err
	}
	return r.follow(made, "A sample is taken. This is the job that does it.")
}
