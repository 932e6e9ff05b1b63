package operator

import "time"

// SystemHealth is whether an installation is well, and what was found: GET /api/system/health, as an operator reads it.
type SystemHealth struct {
	Status    string         `json:"status"` // ok, or degraded
	Version   string         `json:"version"`
	UptimeS   int64          `json:"uptime_seconds"` // of the process that answers
	Checks    []HealthCheck  `json:"checks"`
	Pool      *PoolUse       `json:"pool"`
	RateLimit *RateLimitUse  `json:"rate_limit"` // nil: nothing is limited
	Details   []HealthDetail `json:"details"`
}

// A HealthCheck is something that requests need, or that is missed without.
type HealthCheck struct {
	Name      string `json:"name"`
	Required  bool   `json:"required"` // without it requests are refused
	OK        bool   `json:"ok"`
	Detail    string `json:"detail"`
	LatencyMS int64  `json:"latency_ms"`
}

// A HealthDetail is what else someone should look at; none makes the service unready.
type HealthDetail struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, degraded, unknown
	Detail string `json:"detail"`
}

// PoolUse is how the process that answers uses its connections to the database. Waits are since it began.
type PoolUse struct {
	Size       int   `json:"size"`
	Overflow   int   `json:"overflow"`
	InUse      int   `json:"in_use"`
	Idle       int   `json:"idle"`
	BurstInUse int   `json:"burst_in_use"`
	Waits      int64 `json:"waits"`
	WaitMS     int64 `json:"wait_ms"`
	Timeouts   int64 `json:"timeouts"`
}

// RateLimitUse is how requests are counted: over all processes (redis), by each alone as no Redis is configured
// (alone), or as it can't be asked (away).
type RateLimitUse struct {
	State     string `json:"state"`
	Fallbacks int64  `json:"fallbacks"`
}

// SystemMetrics are those figures of GET /api/system/metrics that are of the installation rather than of one part. What
// is null is explained in Unmeasured by its path, or by that of what it is in; elements of lists go by their name or id.
type SystemMetrics struct {
	Scope       string           `json:"scope"` // all processes, or process: this one
	WindowS     int64            `json:"window_seconds"`
	Replicas    int              `json:"replicas_reporting"`
	Because     []string         `json:"partial_because"` // what the last hour lacks
	Database    DatabaseFigures  `json:"database"`
	API         RequestFigures   `json:"api"`
	AI          CacheFigures     `json:"ai"`
	Events      FlowFigures      `json:"events"`
	System      MachineFigures   `json:"system"`
	Processes   []ProcessFigures `json:"processes"`
	AtLeast     []string         `json:"at_least"` // figures whose counting ended at its bound
	Unmeasured  []MissingFigure  `json:"unmeasured"`
	GeneratedAt time.Time        `json:"generated_at"`
}

// DatabaseFigures are how the database does.
type DatabaseFigures struct {
	Connections    int               `json:"activeConnections"`
	MaxConnections int               `json:"maxConnections"`
	Utilization    float64           `json:"utilizationPercent"`
	States         []ConnectionState `json:"connections"`
	SlowQueries    *int64            `json:"slowQueries"`  // of the last hour, above 100 ms
	CacheHitRate   *float64          `json:"cacheHitRate"` // 0 to 1
	CacheWindowS   *int64            `json:"cacheWindowSeconds"`
	Pool           PoolUse           `json:"pool"`
	Statements     StatementFigures  `json:"statements"`
}

// A ConnectionState is how many connections are at something.
type ConnectionState struct {
	State string `json:"state"`
	Count int    `json:"count"`
}

// StatementFigures are the statements that cost most since their counting began.
type StatementFigures struct {
	Source *string           `json:"source"` // nil: nobody counts
	Top    []StatementFigure `json:"top"`
}

// A StatementFigure is what one statement cost.
type StatementFigure struct {
	SQL     string   `json:"sql"`
	Calls   int64    `json:"calls"`
	TotalMS float64  `json:"total_ms"`
	MeanMS  float64  `json:"mean_ms"`
	MaxMS   float64  `json:"max_ms"`
	Rows    int64    `json:"rows"`
	ReadMS  *float64 `json:"read_ms"`
}

// RequestFigures are how requests did in the last hour; times are in milliseconds.
type RequestFigures struct {
	Average  *float64 `json:"avgResponseTime"`
	P95      *float64 `json:"p95ResponseTime"`
	Requests *int64   `json:"requestsLastHour"`
	Errors   *int64   `json:"errorsLastHour"` // answered with 500 or above
	Probes   *int64   `json:"probesLastHour"`
	Gone     *int64   `json:"goneLastHour"` // whose clients hung up
}

// CacheFigures are how the cache of answers did in the last hour. Their reasons stand beside them.
type CacheFigures struct {
	HitRate    *float64        `json:"cacheHitRate"`
	Unmeasured []MissingFigure `json:"unmeasured"`
}

// FlowFigures are how far facts have come from the outbox to their jobs.
type FlowFigures struct {
	Unpublished        *int64     `json:"unpublished"`
	OldestUnpublishedS *float64   `json:"oldest_unpublished_seconds"`
	Unrouted           int64      `json:"unrouted"`
	OldestUnroutedS    *float64   `json:"oldest_unrouted_seconds"`
	StreamFirst        *uint64    `json:"stream_first"`
	StreamLast         *uint64    `json:"stream_last"`
	RouterSequence     uint64     `json:"router_sequence"`
	RouterMovedAt      *time.Time `json:"router_moved_at"`
	Dead               int64      `json:"dead"`
}

// MachineFigures are how full the fullest machine is, in per cent.
type MachineFigures struct {
	Disk   *float64     `json:"diskUsage"`
	Memory *float64     `json:"memoryUsage"`
	CPU    *float64     `json:"cpuUsage"`
	Disks  []DiskFigure `json:"disks"`
}

// A DiskFigure is a volume that a process keeps something on; sizes are in bytes.
type DiskFigure struct {
	Host    string   `json:"host"`
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Total   int64    `json:"total"`
	Free    int64    `json:"free"`
	Percent *float64 `json:"percent"`
	Reason  *string  `json:"reason"` // why Percent is nil
}

// ProcessFigures are what a process last said of itself.
type ProcessFigures struct {
	ID            string       `json:"id"`
	Role          string       `json:"role"`
	Host          string       `json:"host"`
	Version       string       `json:"version"`
	StartedAt     time.Time    `json:"started_at"`
	HeardAt       time.Time    `json:"heard_at"`
	ResidentBytes *int64       `json:"resident_bytes"`
	Memory        *MemoryUse   `json:"memory"`
	CPU           *CPUUse      `json:"cpu"`
	Pools         []PoolFigure `json:"pools"`
}

// MemoryUse is that of the container of a process, or of its host, in bytes.
type MemoryUse struct {
	Source  string  `json:"source"`
	Limit   int64   `json:"limit"`
	Used    int64   `json:"used"`
	Percent float64 `json:"percent"`
}

// CPUUse is that of the processors that a container, or its host, has.
type CPUUse struct {
	Source    string   `json:"source"`
	Cores     float64  `json:"cores"`
	Percent   *float64 `json:"percent"`
	Throttled *float64 `json:"throttled_percent"`
}

// A PoolFigure is how a process uses one of its pools of connections.
type PoolFigure struct {
	Pool  string `json:"pool"`
	Size  int    `json:"size"`
	Most  int    `json:"most"` // with those for bursts
	InUse int    `json:"in_use"`
	Idle  int    `json:"idle"`
}
