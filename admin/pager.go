package admin

import "net/url"

// A pager leads through a list, for the part "pager". Next and First are "" where they would lead nowhere.
type pager struct {
	Next, First string
	Upwards     bool // the list is read oldest first
}

// FirstLabel says what the first page has.
func (p pager) FirstLabel() string {
	if p.Upwards {
		return "Oldest"
	}
	return "Newest"
}

// NextLabel says what the next page has.
func (p pager) NextLabel() string {
	if p.Upwards {
		return "Newer"
	}
	return "Older"
}

// pager makes the links from the cursor that the API gave, nil at the end, keeping the filters.
func (r *request) pager(next *string) pager {
	q := r.URL.Query()
	p := pager{Upwards: q.Get("order") == "oldest"}
	if q.Has("cursor") {
		p.First = r.with(q, "cursor", "")
	}
	if next != nil {
		p.Next = r.with(q, "cursor", *next)
	}
	return p
}

// with is this page with one value of its query replaced, or removed.
func (r *request) with(q url.Values, name, value string) string {
	changed := url.Values{}
	for k, v := range q {
		changed[k] = v
	}
	changed.Del(name)
	if value != "" {
		changed.Set(name, value)
	}
	if len(changed) == 0 {
		return r.URL.Path
	}
	return r.URL.Path + "?" + changed.Encode()
}

// filters are those values of the query that are among the names and not empty, for the API.
func (r *request) filters(names ...string) url.Values {
	out, q := url.Values{}, r.URL.Query()
	for _, name := range append(names, "cursor", "limit") {
		for _, v := range q[name] {
			if v != "" {
				out.Add(name, v)
			}
		}
	}
	return out
}
