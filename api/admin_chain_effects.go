package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// callNodes are the calls of models, and what else jobs did outside.
func (m *chainMaker) callNodes() {
	called := make(map[string]bool)
	for _, c := range m.calls {
		called[c.JobID] = true
		ended := c.StartedAt.Add(time.Duration(c.QueueMS+c.RunMS) * time.Millisecond)
		n := operator.ChainNode{ID: "call:" + c.ID, Type: "call", Ref: c.JobID, At: c.StartedAt, EndedAt: &ended,
			Title: c.Provider + " · " + c.Model, State: c.Outcome, Bad: c.Outcome != "ok" && c.Outcome != "length" && !c.Cached,
			Details: details("prompt tokens", strconv.Itoa(c.PromptTokens), "answer tokens", strconv.Itoa(c.CompletionTokens),
				"waited for a slot", someMS(c.QueueMS), "instead of another, as", c.FallbackReason, "cost", dollars(c.CostNanoUSD))}
		if n.Bad {
			n.Error = orNull(c.Detail)
		}
		if c.FirstTokenMS != nil {
			n.Details = append(n.Details, details("first token after", someMS(*c.FirstTokenMS))...)
		}
		if c.Status != nil {
			n.Details = append(n.Details, details("status", strconv.Itoa(*c.Status))...)
		}
		m.node(n, c.OrganizationID, m.within(c.JobID, c.StartedAt))
	}
	for _, e := range m.effects {
		mailed := slices.ContainsFunc(m.mails, func(r store.ChainRecipient) bool { return r.MessageID == e.JobID })
		if called[e.JobID] || mailed {
			continue // told in detail
		}
		m.node(operator.ChainNode{ID: "effect:" + e.JobID + "/" + e.Key, Type: "effect", Ref: e.JobID, At: e.StartedAt, EndedAt: e.FinishedAt,
			Title: e.Key, State: e.State, Bad: e.State == "unknown"}, e.OrganizationID, m.within(e.JobID, e.StartedAt))
	}
}

func someMS(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + " ms"
}

func dollars(nano int64) string {
	if nano == 0 {
		return ""
	}
	return "$" + strconv.FormatFloat(float64(nano)/1e9, 'f', 6, 64)
}

// within is the attempt at a job that was under way at a moment.
func (m *chainMaker) within(jobID string, at time.Time) string {
	if j, ok := m.jobs[jobID]; ok {
		return m.attemptAt(j, at)
	}
	return "job:" + jobID
}

// mailNodes are the transactions with the mail server, one for each recipient, and what came back.
func (m *chainMaker) mailNodes() {
	for _, r := range m.mails {
		ended := r.AcceptedAt
		if ended == nil {
			ended = r.UnknownAt
		}
		n := operator.ChainNode{ID: mailNode(r.MessageID, r.Position), Type: "mail", Ref: r.MessageID, At: r.CreatedAt, EndedAt: ended,
			Title: "SMTP to a recipient at " + r.Domain, State: r.State, Bad: r.State == store.MailFailed || r.State == store.MailUnknown,
			Details: details("recipient", fmt.Sprintf("%d (%s)", r.Position, r.Field), "queue id", r.QueueID, "message id", r.MessageID,
				"tries", strconv.Itoa(r.Attempts))}
		if r.SendingAt != nil {
			n.At = *r.SendingAt
		}
		if n.EndedAt != nil && n.EndedAt.Before(n.At) {
			n.EndedAt = nil
		}
		if r.Code != nil {
			n.Details = append(n.Details, details("answer", strings.TrimSpace(strconv.Itoa(*r.Code)+" "+r.Status))...)
		}
		m.node(n, r.OrganizationID, m.within(r.MessageID, n.At))
	}
	for _, e := range m.mailNews {
		if e.Type == "queued" || e.Type == store.MailAccepted && e.Position > 0 {
			continue // told by the recipient
		}
		cause := "job:" + e.MessageID
		if _, there := m.at[mailNode(e.MessageID, e.Position)]; there {
			cause = mailNode(e.MessageID, e.Position)
		}
		m.node(operator.ChainNode{ID: "mail_event:" + e.ID, Type: "mail_event", Ref: e.MessageID, At: e.CreatedAt, Title: "Mail " + strings.ReplaceAll(e.Type, "_", " "),
			State: e.Type, Bad: e.Type == "bounced" || e.Type == "complained" || e.Type == "failed" || e.Type == "unknown",
			Details: details("code", e.Code, "status", e.Status)}, e.OrganizationID, cause)
	}
}

func mailNode(messageID string, position int) string {
	return "mail:" + messageID + "/" + strconv.Itoa(position)
}

// riverNodes are what facts and the clock started by themselves.
func (m *chainMaker) riverNodes() {
	for _, r := range m.river {
		n := operator.ChainNode{ID: riverNode(r), Type: "work", Ref: strconv.FormatInt(r.ID, 10), At: r.CreatedAt, EndedAt: r.FinalizedAt, Title: r.Kind,
			State: riverState(r), Error: nil, Details: details("river", strconv.FormatInt(r.ID, 10), "queue", r.Queue, "attempts", moreThanOne(r.Attempt))}
		if len(r.Tags) > 0 {
			n.Type, n.Title = "cache", "Cache dropped"
			n.Details = details("tags", strings.Join(r.Tags, ", "), "river", n.Ref)
		}
		if n.State == "failed" || n.State == "waiting" {
			n.Bad, n.Error = n.State == "failed", orNull(firstLine(r.Error))
		}
		cause := "event:" + r.EventID
		if _, known := m.events[r.EventID]; !known {
			cause = ""
		}
		m.node(n, r.OrganizationID, cause)
	}
}

func riverNode(r store.ChainRiverJob) string { return "work:" + strconv.FormatInt(r.ID, 10) }

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// riverState names a state of River's as ours are named.
func riverState(r store.ChainRiverJob) string {
	switch r.State {
	case "available", "pending":
		return "queued"
	case "retryable":
		return "waiting"
	case "scheduled":
		if r.Attempt > 0 {
			return "waiting"
		}
		return "scheduled"
	case "completed":
		return "succeeded"
	case "discarded":
		return "failed"
	}
	return r.State
}

// deliveryNodes are what receivers of webhooks were told, and each try.
func (m *chainMaker) deliveryNodes() {
	for _, d := range m.told {
		n := operator.ChainNode{ID: "delivery:" + d.ID, Type: "delivery", Ref: d.ID, At: d.CreatedAt, EndedAt: d.FinishedAt, Title: "Webhook to " + hostOf(d.URL),
			State: d.Status, Bad: d.Status == "failed", Error: problemText(d.ErrorCode, d.Error),
			Details: details("webhook-id", d.EventID, "event", d.EventType, "purpose", d.Purpose, "endpoint", d.EndpointID, "run", moreThanOne(d.Run))}
		if d.Status == "pending" && d.NextAttemptAt != nil && d.NextAttemptAt.After(time.Now()) {
			n.Details = append(n.Details, details("next attempt", d.NextAttemptAt.UTC().Format(time.RFC3339))...)
		}
		m.node(n, d.OrganizationID, "event:"+d.EventID)
	}
	for _, a := range m.tries {
		ended := a.StartedAt.Add(time.Duration(a.LatencyMS) * time.Millisecond)
		n := operator.ChainNode{ID: fmt.Sprintf("try:%s/%d/%d", a.DeliveryID, a.Run, a.Attempt), Type: "try", Ref: a.DeliveryID, At: a.StartedAt, EndedAt: &ended,
			Title: fmt.Sprintf("POST, attempt %d", a.Attempt), State: "succeeded", Bad: a.ErrorCode != "", Error: problemText(a.ErrorCode, a.Error),
			Details: details("run", moreThanOne(a.Run), "address", a.Address)}
		if n.Bad {
			n.State = "failed"
		}
		if a.StatusCode != nil {
			n.Details = append(n.Details, details("status", strconv.Itoa(*a.StatusCode))...)
		}
		m.node(n, a.OrganizationID, "delivery:"+a.DeliveryID)
	}
}

// hostOf is all of a receiver's URL that is shown where nobody asked for more: paths may hold secrets.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "a receiver"
	}
	return u.Scheme + "://" + u.Host
}
