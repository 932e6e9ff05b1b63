package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/pghealth"
)

type indexHealthInput struct {
	Days    int    `query:"days" minimum:"1" maximum:"30" default:"30" doc:"How far back samples are looked at"`
	Points  int    `query:"points" minimum:"1" maximum:"48" default:"12" doc:"Of each index's trend, at most"`
	Index   string `query:"index" maxLength:"130" doc:"Tells of this index alone, by its name or schema.name, and what it did on each day of the last 400"`
	Measure bool   `query:"measure" doc:"Reads all of that index to tell how full it is, by the extension pgstattuple"`
}

// indexHealthView is how the indexes of the database do, over all organizations; nothing of what is in them.
type indexHealthView struct {
	Server          indexServerView    `json:"server"`
	StatisticsSince *time.Time         `json:"statistics_since" doc:"When the server's counters last began anew: they were reset, or it crashed"`
	Window          indexWindowView    `json:"window" doc:"Over which indexes are judged"`
	CacheHitRate    *float64           `json:"cache_hit_rate" doc:"Of the whole database in the window: blocks found in the server's memory, 0 to 1"`
	Indexes         []indexView        `json:"indexes" doc:"Those that were scanned most come first"`
	Findings        []indexFindingView `json:"findings" doc:"The gravest come first"`
	Remarks         []string           `json:"remarks" doc:"What holds for all of it"`
	Days            []indexDayView     `json:"days" doc:"What the index did that was asked for; empty without one"`
	Measured        *indexMeasureView  `json:"measured"`
	Unmeasured      []unmeasured       `json:"unmeasured" doc:"Why figures are null"`
	GeneratedAt     time.Time          `json:"generated_at"`
}

type indexServerView struct {
	Version    int       `json:"version" doc:"server_version_num, such as 160014"`
	StartedAt  time.Time `json:"started_at"`
	InRecovery bool      `json:"in_recovery" doc:"It is a replica"`
	Replicas   int       `json:"replicas" doc:"That follow it; what they scan is counted there alone"`
}

type indexWindowView struct {
	From    *time.Time `json:"from" doc:"The first sample that counts; null: there is none"`
	To      time.Time  `json:"to"`
	Samples int        `json:"samples"`
	Reset   *time.Time `json:"reset" doc:"When counters last began anew while samples were taken, as samples from before don't count; null: never"`
}

// indexView has the columns of pg_stat_user_indexes under their own names.
type indexView struct {
	SchemaName   string           `json:"schemaname"`
	TableName    string           `json:"tablename"`
	IndexName    string           `json:"indexname"`
	Scans        int64            `json:"idx_scan" doc:"Since statistics_since, as the next two; for an index of a partitioned table the sum over its partitions"`
	TuplesRead   int64            `json:"idx_tup_read"`
	TuplesFetch  int64            `json:"idx_tup_fetch"`
	ReadPerScan  *float64         `json:"tuples_read_per_scan" doc:"Few scans that read much may be worth more than many; null: it was not scanned"`
	SizeBytes    int64            `json:"size_bytes"`
	Method       string           `json:"method"`
	Unique       bool             `json:"unique"`
	Primary      bool             `json:"primary"`
	Valid        bool             `json:"valid"`
	Partitioned  bool             `json:"partitioned" doc:"Of a partitioned table; its partitions' indexes are listed as well"`
	PartitionOf  *string          `json:"partition_of" doc:"The index of the parent table"`
	Purpose      *string          `json:"purpose" doc:"What it is for beside being scanned"`
	LastScanAt   *time.Time       `json:"last_scan_at"`
	CacheHitRate *float64         `json:"cache_hit_rate" doc:"In the window, 0 to 1; of the server's own memory, not the operating system's"`
	Bloat        *float64         `json:"bloat" doc:"An estimate of the part that is empty, 0 to 1; keys in random order fill an index to 70 %"`
	Window       *indexUsageView  `json:"window" doc:"What it did in the window"`
	Trend        []indexPointView `json:"trend" doc:"The same in steps, up to now"`
	Unmeasured   []unmeasured     `json:"unmeasured" doc:"Why figures are null, and why it can't be told whether it is used"`
}

type indexUsageView struct {
	From        time.Time `json:"from"`
	Whole       bool      `json:"whole"`
	Scans       int64     `json:"scans"`
	TuplesRead  int64     `json:"tuples_read"`
	TuplesFetch int64     `json:"tuples_fetched"`
	BlocksHit   int64     `json:"blocks_hit"`
	BlocksRead  int64     `json:"blocks_read"`
}

// Schema implements huma.SchemaProvider, as huma has no nullable objects of its own.
func (*indexUsageView) Schema(huma.Registry) *huma.Schema {
	count := func(what string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: what}
	}
	return nullableObject("What it did in the window, or null", map[string]*huma.Schema{
		"from":  {Type: huma.TypeString, Format: "date-time", Description: "Later than the window's where the index is younger"},
		"whole": {Type: huma.TypeBoolean, Description: "It was there all the time, and its counters did not begin anew"},
		"scans": count(""), "tuples_read": count("Entries of the index"), "tuples_fetched": count("Rows of the table, by plain scans"),
		"blocks_hit": count("Found in the server's memory"), "blocks_read": count("Not found there"),
	})
}

// nullableObject describes an object that has all of its fields.
func nullableObject(description string, properties map[string]*huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: false, Description: description,
		Properties: properties, Required: slices.Sorted(maps.Keys(properties))}
}

type indexPointView struct {
	At           time.Time `json:"at"`
	Scans        int64     `json:"scans" doc:"Since the point before, as the rest"`
	TuplesRead   int64     `json:"tuples_read"`
	CacheHitRate *float64  `json:"cache_hit_rate"`
	SizeBytes    int64     `json:"size_bytes" doc:"At that time"`
	Anew         bool      `json:"anew" doc:"Its counters began anew in between"`
}

type indexFindingView struct {
	Kind     string             `json:"kind" enum:"unused,duplicate,redundant_prefix,invalid,building,missing_fk_index,seq_scan_heavy,bloat"`
	Severity string             `json:"severity" enum:"critical,warning,info"`
	Schema   string             `json:"schemaname"`
	Table    string             `json:"tablename"`
	Index    *string            `json:"indexname" doc:"null: it is about the table"`
	Why      string             `json:"why"`
	Figures  map[string]float64 `json:"figures" doc:"What it was judged by"`
	DDL      indexDDLView       `json:"ddl"`
	Caveats  []string           `json:"caveats" doc:"What to know before anything is done"`
	Kept     *string            `json:"kept" doc:"Why it is left as it is on purpose; null: it isn't"`
}

type indexDDLView struct {
	Mend   []string `json:"mend" doc:"Statements, each to be run by itself and outside a transaction"`
	Undo   []string `json:"undo" doc:"Those that take it back"`
	Reason *string  `json:"reason" doc:"Why there are none to mend it with"`
}

type indexDayView struct {
	Day          date     `json:"day" doc:"UTC"`
	Scans        int64    `json:"scans"`
	TuplesRead   int64    `json:"tuples_read"`
	CacheHitRate *float64 `json:"cache_hit_rate"`
	SizeBytes    int64    `json:"size_bytes" doc:"At its end"`
	Samples      int      `json:"samples"`
}

type indexMeasureView struct {
	SizeBytes     int64   `json:"size_bytes"`
	LeafDensity   float64 `json:"leaf_density"`
	Fragmentation float64 `json:"fragmentation"`
}

// Schema implements huma.SchemaProvider.
func (*indexMeasureView) Schema(huma.Registry) *huma.Schema {
	return nullableObject("How full the index is that was asked for, or null", map[string]*huma.Schema{
		"size_bytes":    {Type: huma.TypeInteger, Format: "int64"},
		"leaf_density":  {Type: huma.TypeNumber, Format: "double", Description: "How full the leaves are, 0 to 1"},
		"fragmentation": {Type: huma.TypeNumber, Format: "double", Description: "Leaves that don't lie in order, 0 to 1"},
	})
}

type indexHealthOutput struct{ Body indexHealthView }

// indexHealth tells the operator how the indexes of the database do.
func (s *Server) indexHealth(ctx context.Context, in *indexHealthInput) (*indexHealthOutput, error) {
	if in.Measure && in.Index == "" {
		return nil, invalid(Fault{"/query/measure", "needs index, which it is about"})
	}
	var v indexHealthView
	err := s.DB.TxAsOperator(ctx, func(tx pgx.Tx) error {
		r, err := pghealth.Examine(ctx, tx, pghealth.Options{Window: time.Duration(in.Days) * 24 * time.Hour, Points: in.Points})
		if err != nil {
			return err
		}
		v = indexHealthViewOf(r, in.Index)
		if in.Index == "" {
			return nil
		}
		return v.one(ctx, tx, r, in)
	})
	if errors.Is(err, pghealth.ErrTooOld) {
		return nil, refuse("unavailable", "indexes are watched from Postgres 15 on, and the server is older")
	}
	if err != nil {
		return nil, err
	}
	return &indexHealthOutput{v}, nil
}

// one adds what is told of a single index.
func (v *indexHealthView) one(ctx context.Context, tx pgx.Tx, r *pghealth.Report, in *indexHealthInput) error {
	i := namedIndex(r, in.Index)
	if i == nil {
		return refuse("not_found", fmt.Sprintf("there is no index %s, or several of that name: say its schema", in.Index))
	}
	days, err := pghealth.Days(ctx, tx, i)
	if err != nil {
		return err
	}
	for _, d := range days {
		v.Days = append(v.Days, indexDayView{Day: date{d.Day}, Scans: d.Counters.Scans, TuplesRead: d.Counters.TuplesRead,
			CacheHitRate: d.Counters.HitRate(), SizeBytes: d.Size, Samples: d.Samples})
	}
	if !in.Measure {
		return nil
	}
	m, why, err := pghealth.Measure(ctx, tx, i)
	if err != nil {
		return err
	}
	if m == nil {
		v.Unmeasured = append(v.Unmeasured, unmeasured{"measured", why})
		return nil
	}
	v.Measured = &indexMeasureView{SizeBytes: m.Size, LeafDensity: m.Leaf / 100, Fragmentation: m.Fragmentation / 100}
	return nil
}

// namedIndex is the one index of that name, or schema and name.
func namedIndex(r *pghealth.Report, name string) (found *pghealth.Index) {
	for _, i := range r.Indexes {
		if i.Label() == name {
			return i
		}
		if i.Name == name {
			if found != nil {
				return nil
			}
			found = i
		}
	}
	return found
}
