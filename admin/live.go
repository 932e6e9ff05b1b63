package admin

// live is the news of what changed, by which a page that somebody looks at fetches itself again.
func (p *Pages) live(r *request) error { return r.stream("/api/admin/live") }
