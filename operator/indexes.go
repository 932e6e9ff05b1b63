package operator

import "time"

// IndexHealth is how the indexes of the database do: GET /api/system/index-health.
type IndexHealth struct {
	Server struct {
		Version    int       `json:"version"`
		StartedAt  time.Time `json:"started_at"`
		InRecovery bool      `json:"in_recovery"`
		Replicas   int       `json:"replicas"`
	} `json:"server"`
	StatisticsSince *time.Time `json:"statistics_since"`
	Window          struct {
		From    *time.Time `json:"from"`
		To      time.Time  `json:"to"`
		Samples int        `json:"samples"`
		Reset   *time.Time `json:"reset"`
	} `json:"window"`
	CacheHitRate *float64        `json:"cache_hit_rate"`
	Indexes      []Index         `json:"indexes"`
	Findings     []IndexFinding  `json:"findings"`
	Remarks      []string        `json:"remarks"`
	Days         []IndexDay      `json:"days"`
	Measured     *IndexMeasure   `json:"measured"`
	Unmeasured   []MissingFigure `json:"unmeasured"`
	GeneratedAt  time.Time       `json:"generated_at"`
}

// An Index is one index with what it does.
type Index struct {
	Schema       string          `json:"schemaname"`
	Table        string          `json:"tablename"`
	Name         string          `json:"indexname"`
	Scans        int64           `json:"idx_scan"`
	TuplesRead   int64           `json:"idx_tup_read"`
	TuplesFetch  int64           `json:"idx_tup_fetch"`
	ReadPerScan  *float64        `json:"tuples_read_per_scan"`
	SizeBytes    int64           `json:"size_bytes"`
	Method       string          `json:"method"`
	Unique       bool            `json:"unique"`
	Primary      bool            `json:"primary"`
	Valid        bool            `json:"valid"`
	Partitioned  bool            `json:"partitioned"`
	PartitionOf  *string         `json:"partition_of"`
	Purpose      *string         `json:"purpose"`
	LastScanAt   *time.Time      `json:"last_scan_at"`
	CacheHitRate *float64        `json:"cache_hit_rate"`
	Bloat        *float64        `json:"bloat"`
	Window       *IndexUsage     `json:"window"`
	Trend        []IndexPoint    `json:"trend"`
	Unmeasured   []MissingFigure `json:"unmeasured"`
}

// An IndexUsage is what an index did in the window.
type IndexUsage struct {
	From        time.Time `json:"from"`
	Whole       bool      `json:"whole"`
	Scans       int64     `json:"scans"`
	TuplesRead  int64     `json:"tuples_read"`
	TuplesFetch int64     `json:"tuples_fetched"`
	BlocksHit   int64     `json:"blocks_hit"`
	BlocksRead  int64     `json:"blocks_read"`
}

// An IndexPoint is a step of an index's trend.
type IndexPoint struct {
	At           time.Time `json:"at"`
	Scans        int64     `json:"scans"`
	TuplesRead   int64     `json:"tuples_read"`
	CacheHitRate *float64  `json:"cache_hit_rate"`
	SizeBytes    int64     `json:"size_bytes"`
	Anew         bool      `json:"anew"`
}

// An IndexFinding is something that is wrong with an index or a table, and how to mend it.
type IndexFinding struct {
	Kind     string             `json:"kind"`
	Severity string             `json:"severity"` // critical, warning, info
	Schema   string             `json:"schemaname"`
	Table    string             `json:"tablename"`
	Index    *string            `json:"indexname"`
	Why      string             `json:"why"`
	Figures  map[string]float64 `json:"figures"`
	DDL      struct {
		Mend   []string `json:"mend"`
		Undo   []string `json:"undo"`
		Reason *string  `json:"reason"`
	} `json:"ddl"`
	Caveats []string `json:"caveats"`
	Kept    *string  `json:"kept"`
}

// An IndexDay is what an index did on a day.
type IndexDay struct {
	Day          string   `json:"day"`
	Scans        int64    `json:"scans"`
	TuplesRead   int64    `json:"tuples_read"`
	CacheHitRate *float64 `json:"cache_hit_rate"`
	SizeBytes    int64    `json:"size_bytes"`
	Samples      int      `json:"samples"`
}

// An IndexMeasure is how full an index is, as all of it was read to tell.
type IndexMeasure struct {
	SizeBytes     int64   `json:"size_bytes"`
	LeafDensity   float64 `json:"leaf_density"`
	Fragmentation float64 `json:"fragmentation"`
}
