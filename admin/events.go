package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// An eventsPage is a part of the outbox, with how events flow.
type eventsPage struct {
	State  operator.EventsState
	List   operator.EventList
	Pager  pager
	Query  map[string]string
	Narrow bool
	Slow   string // why there is no list
	Names  map[string]string
}

var eventFilters = []string{"type", "organization_id", "subject", "request_id", "created_after", "created_before"}

// events shows how facts flow, and the newest of them.
func (p *Pages) events(r *request) error {
	data := eventsPage{Query: make(map[string]string)}
	query := r.filters(eventFilters...)
	for _, name := range eventFilters {
		given := r.URL.Query().Get(name)
		data.Query[name] = given
		data.Narrow = data.Narrow || given != ""
		if strings.HasPrefix(name, "created_") && given != "" {
			query.Set(name, timeField(given))
		}
	}
	if err := r.client.Get(r.Context(), "/api/admin/events/state", nil, &data.State); err != nil {
		return err
	}
	if err := r.client.Get(r.Context(), "/api/admin/events", query, &data.List); err != nil {
		if !operator.IsCode(err, "too_slow") {
			return err
		}
		data.Slow = "That took too long over so many events. Narrow it by time, subject or request id, which are found at once."
	}
	data.Pager, data.Names = r.pager(data.List.NextCursor), r.organizationNames()
	return r.render(http.StatusOK, "events", "Events", data)
}

// An eventPage is one event, with what it says where that was revealed.
type eventPage struct {
	operator.EventDetail
	Revealed bool
}

func showEvent(r *request, e eventPage) error {
	return r.renderAt(http.StatusOK, "event", []crumb{{"Events", "/admin/events"}, {Title: e.Type}}, e)
}

// event shows one event.
func (p *Pages) event(r *request) error {
	var e operator.EventDetail
	if err := r.client.Get(r.Context(), "/api/admin/events/"+pathEscape(r.PathValue("id")), nil, &e); err != nil {
		return err
	}
	return showEvent(r, eventPage{e, false})
}

// revealEvent shows one event with what it says.
func (p *Pages) revealEvent(r *request) error {
	var e operator.EventDetail
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/events/"+pathEscape(r.PathValue("id"))+"/reveal", nil, &e); err != nil {
		return err
	}
	return showEvent(r, eventPage{e, true})
}

// A deadPage is a part of the dead events.
type deadPage struct {
	List  operator.DeadEventList
	Pager pager
	All   bool
}

// deadEvents shows the events that could not be routed.
func (p *Pages) deadEvents(r *request) error {
	data := deadPage{All: r.FormValue("all") == "true"}
	if err := r.client.Get(r.Context(), "/api/admin/events/dead", r.filters("all"), &data.List); err != nil {
		return err
	}
	data.Pager = r.pager(data.List.NextCursor)
	return r.renderAt(http.StatusOK, "events_dead", []crumb{{"Events", "/admin/events"}, {Title: "Dead events"}}, data)
}

// redrive routes dead events after all.
func (p *Pages) redrive(r *request) error {
	in := operator.Redrive{All: r.PostFormValue("all") == "true"}
	for _, text := range r.PostForm["id"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return r.refuse(http.StatusBadRequest, "That is no dead event", "Go back, and choose one from the list.")
		}
		in.IDs = append(in.IDs, id)
	}
	var out operator.Redriven
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/events/dead/redrive", in, &out); err != nil {
		return err
	}
	said := strconv.Itoa(out.Done) + " redriven."
	if len(out.Failed) > 0 {
		said = "!" + said + " " + strconv.Itoa(len(out.Failed)) + " stay dead: " + out.Failed[0].Reason
	}
	return r.redirect("/admin/events/dead", said)
}

// A replayPage asks what is to be started again, or says what that would be.
type replayPage struct {
	Since, Types, OrganizationID string
	Until                        string // of the plan
	Plan                         *operator.Replayed
}

// replay asks for a replay, and shows what it would start.
func (p *Pages) replay(r *request) error {
	data := replayPage{Since: r.FormValue("since"), Types: r.FormValue("types"), OrganizationID: strings.TrimSpace(r.FormValue("organization_id")),
		Until: r.PostFormValue("until")}
	if r.Method == http.MethodPost {
		in, err := data.ask()
		if err != nil {
			return r.refuse(http.StatusBadRequest, "That is no time", "Write it as 2026-01-31T10:00, in UTC.")
		}
		in.DryRun = r.PostFormValue("sure") != "yes"
		var out operator.Replayed
		if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/events/replay", in, &out); err != nil {
			return err
		}
		if out.Started != nil {
			return r.redirect("/admin/events", strconv.Itoa(*out.Started)+" jobs were started again.")
		}
		data.Plan, data.Until = &out, out.Until.Format(time.RFC3339Nano)
	}
	return r.renderAt(http.StatusOK, "events_replay", []crumb{{"Events", "/admin/events"}, {Title: "Replay"}}, data)
}

func (d replayPage) ask() (in operator.Replay, err error) {
	if in.Since, err = time.Parse(time.RFC3339, timeField(d.Since)); err != nil {
		return in, err
	}
	if in.Until, err = fieldTime(d.Until); err != nil {
		return in, err
	}
	in.Types, in.OrganizationID = strings.FieldsFunc(d.Types, func(c rune) bool { return c == ',' || c == ' ' }), d.OrganizationID
	return in, err
}
