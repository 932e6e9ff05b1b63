package operator

import "time"

// A Chain is all that is known to hang together with an id: from the request that began it to its effects outside.
type Chain struct {
	Query    string         `json:"query" doc:"As it was asked for"`
	Meanings []ChainMeaning `json:"meanings" doc:"What the id is; where it may be several things, the first is shown unless as says otherwise"`
	As       string         `json:"as" doc:"The meaning that is shown"`
	Nodes    []ChainNode    `json:"nodes" doc:"In the order of causes: what came of a node stands below it, by time"`
	Complete bool           `json:"complete" doc:"false: more is connected than is shown, as notes say"`
	Notes    []string       `json:"notes" doc:"What was left out, or can't be known, and why"`
	BeganAt  *time.Time     `json:"began_at"`
	EndedAt  *time.Time     `json:"ended_at" doc:"Of the last thing that is known"`
}

// A ChainMeaning is something that an id may be.
type ChainMeaning struct {
	Type           string  `json:"type" doc:"request, trace, event, job, work, mail, delivery, contact, deal, invoice, key, endpoint or backup"`
	ID             string  `json:"id"`
	Title          string  `json:"title"`
	OrganizationID *string `json:"organization_id"`
}

// A ChainNode is one step of a chain.
type ChainNode struct {
	ID             string        `json:"id" doc:"Unique in the chain"`
	Type           string        `json:"type" enum:"request,event,job,attempt,call,effect,mail,mail_event,work,cache,delivery,try" doc:"work: a job of River's that no client asked for; cache: one that made cached answers void; try: one attempt at a delivery"`
	Ref            string        `json:"ref" doc:"The id by which the rest of the API knows it, or its owner"`
	OrganizationID *string       `json:"organization_id"`
	At             time.Time     `json:"at"`
	EndedAt        *time.Time    `json:"ended_at"`
	Title          string        `json:"title"`
	State          string        `json:"state" doc:"Empty where a step has none"`
	Bad            bool          `json:"bad" doc:"It went wrong, or nobody knows how it went"`
	Error          *string       `json:"error"`
	Details        []ChainDetail `json:"details"`
	Log            []LogLine     `json:"log" doc:"What an attempt at a job wrote to the log; empty for others, and beyond 256 KB a chain, as notes say"`
	CausedBy       *string       `json:"caused_by" doc:"Id of the node that led to it; null: nothing that is known"`
	Depth          int           `json:"depth" doc:"How far below its beginning it stands"`
	AfterMS        *float64      `json:"after_ms" doc:"Milliseconds since the node that led to it began"`
	TookMS         *float64      `json:"took_ms"`
	Asked          bool          `json:"asked" doc:"It is what was asked for"`
}

// A ChainDetail is something that is known of a step.
type ChainDetail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
