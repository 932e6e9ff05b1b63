package store

// Query is the statement that a filter comes to.
func (f JobFilter) Query() (sql string, args []any) { return f.query() }

// What tests of single parts need.
var (
	ParseProcess       = parseProcess
	WatchBurstOf       = watchBurst
	SelectQueues       = selectQueues
	ByIndexes          = byIndexes
	WebhookStandingSQL = webhookStanding
)
