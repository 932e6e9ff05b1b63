package operator

import "time"

// AIOverview is how models do, over all organizations.
type AIOverview struct {
	Models    []AIModel       `json:"models" doc:"As workers know them; the most troubled first"`
	Calls     []AICallCount   `json:"calls" doc:"Attempts of the last hour and day, by provider, model and outcome"`
	Fallbacks []AIFallback    `json:"fallbacks" doc:"Why somebody else than the first choice was asked, the most frequent first"`
	Paces     []AIPace        `json:"paces" doc:"How quickly models answered in the last day"`
	Cacheable int64           `json:"cacheable" doc:"Answers of the last day that were looked for in the cache"`
	Cached    int64           `json:"cached" doc:"And found there"`
	HitRate   *float64        `json:"cache_hit_rate" doc:"0 to 1; null: none was looked for"`
	Money     AIMoney         `json:"money"`
	Accounts  []AIAccount     `json:"organizations" doc:"This month; those whose budget is nearest to its end first, 100 at most"`
	Looked    int64           `json:"calls_looked_at" doc:"Of the last day; at 50000 older ones of the day are left out of calls, fallbacks, paces and the hit rate"`
	Bounded   bool            `json:"bounded" doc:"Older calls of the day were left out"`
	Caveats   []string        `json:"caveats" doc:"What the figures of money leave out"`
	At        time.Time       `json:"generated_at"`
	Missing   []MissingFigure `json:"unmeasured" doc:"Why parts are empty"`
}

// A MissingFigure says why a figure is missing.
type MissingFigure struct {
	Figure string `json:"figure"`
	Reason string `json:"reason"`
}

// An AIModel is one model of one provider, as the workers that are alive know it.
type AIModel struct {
	Provider string          `json:"provider"`
	Model    string          `json:"model"`
	State    string          `json:"state" enum:"closed,open,half_open,limited,disabled,unconfigured" doc:"The worst of any worker. closed: in use; open: not asked until a probe succeeds; half_open: the next call is the trial; limited: by the provider"`
	Workers  []AIModelWorker `json:"workers"`
}

// An AIModelWorker is what one worker knows of a model.
type AIModelWorker struct {
	Worker        string     `json:"worker"`
	Host          string     `json:"host"`
	State         string     `json:"state"`
	LastClass     *string    `json:"last_class" doc:"Of the last failure, also after it is well again"`
	LastFailureAt *time.Time `json:"last_failure_at"`
	NextProbeAt   *time.Time `json:"next_probe_at" doc:"null: it is in use"`
	HeartbeatAt   time.Time  `json:"heartbeat_at"`
}

// An AICallCount counts attempts that ended alike.
type AICallCount struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Outcome  string `json:"outcome"`
	Hour     int64  `json:"last_hour"`
	Day      int64  `json:"last_day"`
}

// An AIFallback counts why a provider was asked that was not the first choice.
type AIFallback struct {
	Reason   string `json:"reason"`
	Provider string `json:"provider" doc:"That was asked"`
	Hour     int64  `json:"last_hour"`
	Day      int64  `json:"last_day"`
}

// An AIPace is how quickly a model answered, in milliseconds.
type AIPace struct {
	Provider      string   `json:"provider"`
	Model         string   `json:"model"`
	Answers       int64    `json:"answers"`
	P50           float64  `json:"p50_ms" doc:"The wait for its turn included"`
	P95           float64  `json:"p95_ms"`
	FirstTokenP50 *float64 `json:"first_token_p50_ms" doc:"null: no answer came in tokens"`
	FirstTokenP95 *float64 `json:"first_token_p95_ms"`
}

// AIMoney is what models cost and saved this month, over all organizations, in paise.
type AIMoney struct {
	Organizations int64 `json:"organizations" doc:"That used models this month, or have a budget"`
	Spent         int64 `json:"spent" doc:"What the fallback provider takes, in paise, rounded half up"`
	Shadow        int64 `json:"shadow" doc:"What it would have taken for all answers"`
	Saved         int64 `json:"saved" doc:"The difference"`
}

// An AIAccount is an organization's money in the month of its own calendar, in paise.
type AIAccount struct {
	OrganizationID string   `json:"organization_id"`
	Organization   string   `json:"organization"`
	Month          string   `json:"month" doc:"2026-04"`
	Budget         *int64   `json:"budget" doc:"null: no limit"`
	Spent          int64    `json:"spent"`
	Reserved       int64    `json:"reserved" doc:"Set aside for calls under way"`
	Used           *float64 `json:"used" doc:"Spent and set aside of the budget; 1: nothing is left. null: no limit"`
	Saved          int64    `json:"saved"`
	Answers        int64    `json:"answers"`
}

// AISeries is what models did over time, for charts.
type AISeries struct {
	Step   string    `json:"step" enum:"minute,hour"`
	Points []AIPoint `json:"points" doc:"In order, without gaps"`
	At     time.Time `json:"generated_at"`
}

// An AIPoint is one step of a series.
type AIPoint struct {
	At        time.Time `json:"at" doc:"Where it begins"`
	Ollama    int64     `json:"ollama" doc:"Answers"`
	Groq      int64     `json:"groq"`
	Cache     int64     `json:"cache"`
	Rules     int64     `json:"rules"`
	Failures  int64     `json:"failures" doc:"Attempts without an answer"`
	LatencyMS *float64  `json:"latency_ms" doc:"Mean of the models' answers; null: none answered"`
	Saved     int64     `json:"saved" doc:"In paise"`
}

// AICallList is a part of a list of attempts at models, those that began last first.
type AICallList struct {
	Data       []AICall `json:"data"`
	NextCursor *string  `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool     `json:"has_more"`
}

// An AICall is one attempt at a model. No prompt and no answer is kept with it.
type AICall struct {
	ID               string    `json:"id"`
	OrganizationID   string    `json:"organization_id"`
	Organization     *string   `json:"organization"`
	JobID            string    `json:"job_id"`
	Attempt          int       `json:"attempt" doc:"Of the job"`
	Kind             string    `json:"kind"`
	Provider         string    `json:"provider"`
	Model            string    `json:"model"`
	Outcome          string    `json:"outcome"`
	Status           *int      `json:"status" doc:"HTTP"`
	Detail           *string   `json:"detail" doc:"Of an outcome that is not ok"`
	FallbackReason   *string   `json:"fallback_reason" doc:"null: it was the first choice"`
	Cached           bool      `json:"cached"`
	QueueMS          int64     `json:"queue_ms" doc:"The wait for its turn"`
	FirstTokenMS     *int64    `json:"first_token_ms"`
	RunMS            int64     `json:"run_ms"`
	PromptTokens     int64     `json:"prompt_tokens"`
	CompletionTokens int64     `json:"completion_tokens"`
	CostNano         int64     `json:"cost_nano_inr" doc:"In billionths of a rupee"`
	SavedNano        int64     `json:"saved_nano_inr"`
	StartedAt        time.Time `json:"started_at"`
}

// A PullModel asks for a model to be fetched.
type PullModel struct {
	Model    string `json:"model" minLength:"1" maxLength:"250" doc:"As Ollama names it, such as mistral:7b"`
	Insecure bool   `json:"insecure,omitempty" doc:"The registry may speak plain HTTP"`
}

// A Submitted names the job that does what was asked for.
type Submitted struct {
	JobID string `json:"job_id"`
	Kind  string `json:"kind"`
}
