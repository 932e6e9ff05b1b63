package events

// InsightUpdated says that a model, or the rules in its place, found out something new about a record, or
// about the organization as a whole. What it is stays in its row: events carry no personal data.
type InsightUpdated struct {
	InsightID   string `json:"insight_id"`
	Kind        string `json:"kind"`         // of the job that found it out, such as ai.lead_score
	SubjectType string `json:"subject_type"` // contact, deal, invoice or organization
	SubjectID   string `json:"subject_id"`
	JobID       string `json:"job_id"`
	Provider    string `json:"provider"` // that found it out: ollama, groq or rules
	Model       string `json:"model"`
	Version     int64  `json:"version"`
}

// EventType implements Fact.
func (InsightUpdated) EventType() string { return "insight.updated" }

// Aggregate implements Fact.
func (f InsightUpdated) Aggregate() (string, int64) { return f.InsightID, f.Version }
