package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// A chainPage is a chain as it is drawn.
type chainPage struct {
	Query string
	Title string          // what the id means
	Chain *operator.Chain // nil: nothing was asked for, or nothing found
	Steps []chainStep
	Took  string
	Bad   int
	// Unknown says that nothing has the id.
	Unknown bool
	Day     string // of the first step
	Names   map[string]string
}

// A chainStep is a step of a chain.
type chainStep struct {
	operator.ChainNode
	Icon, Link, Clock, Gap, Lasted string
	Indent                         int
	Tone                           string
	Facts                          []chainFact
}

// A chainFact is something that is known of a step; Link leads to what it names.
type chainFact struct{ Name, Value, Link string }

// deepest is how far steps are indented.
const deepest = 12

// chain shows what hangs together with an id, or asks for one.
func (p *Pages) chain(r *request) error {
	id := strings.TrimSpace(r.PathValue("id"))
	if asked := strings.TrimSpace(r.FormValue("q")); id == "" && asked != "" {
		return r.redirect("/admin/chain/"+pathEscape(asked), "")
	}
	data := chainPage{Query: id}
	if id == "" {
		return r.render(http.StatusOK, "chain", "Chain", data)
	}
	var c operator.Chain
	query := url.Values{}
	if as := r.FormValue("as"); as != "" {
		query.Set("as", as)
	}
	err := r.client.Get(r.Context(), "/api/admin/chain/"+pathEscape(id), query, &c)
	var refused *operator.Problem
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		data.Unknown = true
		return r.render(http.StatusNotFound, "chain", "Chain", data)
	}
	if err != nil {
		return err
	}
	data.draw(&c)
	data.Names = r.organizationNames()
	return r.renderAt(http.StatusOK, "chain", []crumb{{"Chain", "/admin/chain"}, {Title: id}}, data)
}

func (d *chainPage) draw(c *operator.Chain) {
	d.Chain = c
	if t := c.Meanings[0].Title; t != "" {
		d.Title = strings.ToUpper(t[:1]) + t[1:]
	}
	if c.BeganAt != nil && c.EndedAt != nil {
		d.Took, d.Day = spanOf(float64(c.EndedAt.Sub(*c.BeganAt).Microseconds())/1000), c.BeganAt.UTC().Format("2 January 2006")
	}
	for _, n := range c.Nodes {
		s := chainStep{ChainNode: n, Icon: stepIcons[n.Type], Link: stepLink(n), Clock: n.At.UTC().Format("15:04:05.000"), Indent: min(n.Depth, deepest), Tone: stepTone(n)}
		if c.BeganAt != nil && n.At.UTC().Format(time.DateOnly) != c.BeganAt.UTC().Format(time.DateOnly) {
			s.Clock = n.At.UTC().Format("2 Jan 15:04:05.000")
		}
		if n.AfterMS != nil {
			s.Gap = gapOf(*n.AfterMS)
		}
		if n.TookMS != nil && *n.TookMS > 0 {
			s.Lasted = spanOf(*n.TookMS)
		}
		for _, f := range n.Details {
			s.Facts = append(s.Facts, chainFact{f.Name, f.Value, factLink(f)})
		}
		if n.Bad {
			d.Bad++
		}
		d.Steps = append(d.Steps, s)
	}
}

var stepIcons = map[string]string{"request": "out", "event": "events", "job": "jobs", "attempt": "play", "call": "ai", "effect": "check", "mail": "mail",
	"mail_event": "mail", "work": "workers", "cache": "slash", "delivery": "webhooks", "try": "webhooks"}

// stepTone colours a step's mark.
func stepTone(n operator.ChainNode) string {
	switch {
	case n.Bad:
		return "bad"
	case n.State == "waiting" || n.State == "deferred" || n.State == "scheduled":
		return "warn"
	case n.State == "running" || n.State == "sending" || n.State == "queued" || n.State == "pending":
		return "busy"
	}
	return n.Type
}

// stepLink is the page of a step.
func stepLink(n operator.ChainNode) string {
	id := pathEscape(n.Ref)
	switch n.Type {
	case "event":
		return "/admin/events/" + id
	case "job", "attempt", "call", "effect", "work", "cache":
		return "/admin/jobs/" + id
	case "mail", "mail_event":
		return "/admin/mail/" + id
	case "delivery", "try":
		return "/admin/webhooks/deliveries/" + id
	}
	return ""
}

var someUUID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// factLink leads from an id to its own chain, or to the page of what it names.
func factLink(f operator.ChainDetail) string {
	switch f.Name {
	case "organization":
		return "/admin/jobs?organization_id=" + url.QueryEscape(f.Value)
	case "river":
		return "/admin/jobs/" + pathEscape(f.Value)
	case "request id", "trace", "queue id", "stream":
		return "/admin/chain/" + pathEscape(f.Value)
	}
	if someUUID.MatchString(f.Value) {
		return "/admin/chain/" + pathEscape(f.Value)
	}
	return ""
}

// gapOf is how long after its cause a step began. Clocks of two machines differ, so it may be before.
func gapOf(ms float64) string {
	if ms < 0 {
		return "−" + spanOf(-ms)
	}
	return "+" + spanOf(ms)
}

// spanOf is a time in milliseconds as one reads it.
func spanOf(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case ms < 10:
		return strings.TrimSuffix(strconv.FormatFloat(ms, 'f', 1, 64), ".0") + " ms"
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
