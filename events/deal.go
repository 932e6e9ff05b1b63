package events

// DealCreated says that a deal was made.
type DealCreated struct {
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
	Stage     string `json:"stage"`
	Value     int64  `json:"value"` // paise
	Currency  string `json:"currency"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (DealCreated) EventType() string { return "deal.created" }

// Aggregate implements Fact.
func (f DealCreated) Aggregate() (string, int64) { return f.DealID, f.Version }

// DealUpdated says which fields of a deal have changed, its stage aside.
type DealUpdated struct {
	DealID    string   `json:"deal_id"`
	ContactID string   `json:"contact_id"`
	Changed   []string `json:"changed"` // names of fields as in the API
	Version   int64    `json:"version"`
}

// EventType implements Fact.
func (DealUpdated) EventType() string { return "deal.updated" }

// Aggregate implements Fact.
func (f DealUpdated) Aggregate() (string, int64) { return f.DealID, f.Version }

// DealStageChanged says that a deal moved. A deal that is won or lost by it has a fact of that too, of the same version.
type DealStageChanged struct {
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
	From      string `json:"from"`
	To        string `json:"to"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (DealStageChanged) EventType() string { return "deal.stage_changed" }

// Aggregate implements Fact.
func (f DealStageChanged) Aggregate() (string, int64) { return f.DealID, f.Version }

// DealWon says that a deal was won, for good.
type DealWon struct {
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
	Value     int64  `json:"value"` // paise
	Currency  string `json:"currency"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (DealWon) EventType() string { return "deal.won" }

// Aggregate implements Fact.
func (f DealWon) Aggregate() (string, int64) { return f.DealID, f.Version }

// DealLost says that a deal was lost. It may be taken up again.
type DealLost struct {
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
	Value     int64  `json:"value"` // paise
	Currency  string `json:"currency"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (DealLost) EventType() string { return "deal.lost" }

// Aggregate implements Fact.
func (f DealLost) Aggregate() (string, int64) { return f.DealID, f.Version }

// DealDeleted says that a deal is gone. Its version is one more than the last that could be read.
type DealDeleted struct {
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (DealDeleted) EventType() string { return "deal.deleted" }

// Aggregate implements Fact.
func (f DealDeleted) Aggregate() (string, int64) { return f.DealID, f.Version }
