package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// insightView is what a model, or the rules in its place, found out. Its output is text that somebody made up:
// data to show, never to run.
type insightView struct {
	ID        string      `json:"id" format:"uuid" doc:"Stays when the same is found out anew"`
	Kind      string      `json:"kind" doc:"Of the job that found it out, such as ai.lead_score"`
	Subject   subjectView `json:"subject"`
	Output    jsonObject  `json:"output" doc:"As the kind gives it. Text in it was made by a model: escape it wherever it is shown"`
	Provider  string      `json:"provider" enum:"ollama,groq,cache,rules" doc:"That found it out; an answer from the cache is its model's. Rules don't replace what a model found out within a day"`
	Model     string      `json:"model"`
	Template  string      `json:"template" doc:"Of the prompt, with its version"`
	JobID     string      `json:"job_id" format:"uuid"`
	FactsAt   time.Time   `json:"facts_at" doc:"When the records were read that it was found out from. When the same is found out again, this moves, and nothing else"`
	Version   int64       `json:"version"`
	CreatedAt time.Time   `json:"created_at" doc:"When the first of its kind about the subject was found out"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// subjectView is what an insight is about.
type subjectView struct {
	Type string `json:"type" enum:"contact,deal,invoice,organization"`
	ID   string `json:"id" format:"uuid"`
}

func insightViewOf(n store.Insight) insightView {
	return insightView{
		ID: n.ID, Kind: n.Kind, Subject: subjectView{n.SubjectType, n.SubjectID}, Output: jsonObject(n.Output),
		Provider: n.Provider, Model: n.Model, Template: n.Template, JobID: n.JobID, FactsAt: n.FactsAt.UTC(),
		Version: n.Version, CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC(),
	}
}

func insightViewsOf(insights []store.Insight) []insightView {
	views := make([]insightView, len(insights))
	for i, n := range insights {
		views[i] = insightViewOf(n)
	}
	return views
}

// detailTag is the ETag of a thing that is shown with its insights. These change without a new version of the
// thing, so it sums them up, by all of them that may change; where there are none it is the version alone.
func detailTag(version int64, insights []store.Insight) string {
	if len(insights) == 0 {
		return versionTag(version)
	}
	var shown strings.Builder
	for _, n := range insights {
		fmt.Fprintf(&shown, "%s %d %d\n", n.ID, n.Version, n.FactsAt.UnixMicro())
	}
	return summedTag(version, []byte(shown.String()))
}

type insightsInput struct {
	PageQuery
	Kind      string `query:"kind" maxLength:"127" pattern:"^[a-z0-9_.]+$" doc:"Such as ai.lead_score"`
	ContactID string `query:"contact_id" format:"uuid" doc:"About this contact; not together with another id, as an insight is about one thing"`
	DealID    string `query:"deal_id" format:"uuid"`
	InvoiceID string `query:"invoice_id" format:"uuid"`
}

// subject is the one thing that the list is to be about; none for all.
func (in *insightsInput) subject() (store.Subject, error) {
	var asked store.Subject
	var faults []Fault
	for _, by := range []struct{ of, id string }{
		{store.SubjectContact, in.ContactID}, {store.SubjectDeal, in.DealID}, {store.SubjectInvoice, in.InvoiceID},
	} {
		pointer := "/query/" + by.of + "_id"
		id, ok := canonicalID(by.id)
		switch {
		case by.id == "":
		case !ok:
			faults = append(faults, Fault{pointer, "must be the id of a " + by.of})
		case asked.ID != "":
			faults = append(faults, Fault{pointer, "does not go together with " + asked.Type + "_id: an insight is about one thing"})
		default:
			asked = store.Subject{Type: by.of, ID: id}
		}
	}
	if len(faults) > 0 {
		return asked, invalid(faults...)
	}
	return asked, nil
}

type insightsOutput struct{ Body page[insightView] }

// listInsights lists what was found out, the newest of each kind about each thing. It is in the order in which
// something was found out about a thing for the first time, newest first: a page stays what it is while
// insights are found out anew.
func (s *Server) listInsights(ctx context.Context, in *insightsInput) (*insightsOutput, error) {
	subject, err := in.subject()
	if err != nil {
		return nil, err
	}
	filters := []string{"insights", in.Kind, subject.Type, subject.ID}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	f := store.InsightFilter{Kind: in.Kind, Subject: subject, Before: before, Limit: in.Limit + 1}
	rows, err := s.DB.Insights(ctx, exchangeOf(ctx).caller.OrganizationID, f)
	if err != nil {
		return nil, err
	}
	return &insightsOutput{pageOf(insightViewsOf(rows), in.Limit, func(v insightView) string { return v.ID }, filters...)}, nil
}
