package api

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// databaseMetricsView is how the database does.
type databaseMetricsView struct {
	ActiveConnections  int               `json:"activeConnections" doc:"Of clients, over all databases of the server"`
	MaxConnections     int               `json:"maxConnections"`
	UtilizationPercent float64           `json:"utilizationPercent" doc:"activeConnections of maxConnections"`
	Connections        []connectionsView `json:"connections" doc:"The same by what they are at"`
	SlowQueries        *int64            `json:"slowQueries" doc:"Of the last hour, above 100 ms, of all processes"`
	CacheHitRate       *float64          `json:"cacheHitRate" doc:"Of the blocks that were looked for in the window, how many the database found in its own cache, 0 to 1"`
	CacheWindow        *int64            `json:"cacheWindowSeconds" doc:"What cacheHitRate is about"`
	Pool               poolView          `json:"pool" doc:"Of this process; those of all are below processes"`
	Statements         statementsView    `json:"statements"`
}

type connectionsView struct {
	State string `json:"state" doc:"active, idle, idle in transaction, …, as pg_stat_activity has them"`
	Count int    `json:"count"`
}

// statementsView are the statements that cost most.
type statementsView struct {
	Source *string         `json:"source" enum:"pg_stat_statements" doc:"Over all processes since its counting began; null: nobody counts"`
	Top    []statementView `json:"top" doc:"By all the time that they took"`
}

type statementView struct {
	SQL     string   `json:"sql"`
	Calls   int64    `json:"calls"`
	TotalMS float64  `json:"total_ms"`
	MeanMS  float64  `json:"mean_ms"`
	MaxMS   float64  `json:"max_ms"`
	Rows    int64    `json:"rows"`
	ReadMS  *float64 `json:"read_ms" doc:"Of it, waiting for the disk; null: the server doesn't time that"`
}

// topStatements is how many are shown.
const topStatements = 10

const noStatements = "the server doesn't count statements: add pg_stat_statements to shared_preload_libraries, restart it, and run CREATE EXTENSION pg_stat_statements in the database"

func (s *Server) databaseMetrics(ctx context.Context, f figures, missing *reasons) databaseMetricsView {
	v := databaseMetricsView{ActiveConnections: f.Server.Connections, MaxConnections: f.Server.MaxConnections,
		UtilizationPercent: roundTo(100*float64(f.Server.Connections)/float64(max(1, f.Server.MaxConnections)), 1),
		Connections:        []connectionsView{}, Pool: *s.poolView(), Statements: statementsView{Top: []statementView{}}}
	for _, state := range slices.Sorted(maps.Keys(f.Server.States)) {
		v.Connections = append(v.Connections, connectionsView{state, f.Server.States[state]})
	}
	if f.Server.States == nil {
		missing.add("database.connections", "the login may not see what the sessions of others do: GRANT pg_monitor to it")
	}
	if f.counted {
		v.SlowQueries = &f.hour.Slow
	} else {
		missing.add("database.slowQueries", notCounted)
	}
	var reason string
	if v.CacheHitRate, v.CacheWindow, reason = cacheHitRate(f.hour.Blocks, f.Server.Blocks); reason != "" {
		missing.addAll(reason, "database.cacheHitRate", "database.cacheWindowSeconds")
	}
	if !f.Server.Statements {
		missing.add("database.statements", noStatements)
		return v
	}
	list, err := s.DB.SlowestStatements(ctx, topStatements)
	if err != nil {
		s.tellSparsely("statements can't be ranked", err)
		missing.add("database.statements", noStatements)
		return v
	}
	if len(list) > 0 && list[0].ReadMS == nil {
		missing.add("database.statements.top.read_ms", "the server doesn't time its reads: set track_io_timing to on")
	}
	source := "pg_stat_statements"
	v.Statements.Source = &source
	for _, one := range list {
		v.Statements.Top = append(v.Statements.Top, statementView{SQL: one.SQL, Calls: one.Calls, TotalMS: roundTo(one.TotalMS, 3),
			MeanMS: roundTo(one.MeanMS, 3), MaxMS: roundTo(one.MaxMS, 3), Rows: one.Rows, ReadMS: one.ReadMS})
	}
	return v
}

// cacheHitRate is that between the first sample of the hour and now. Since the server began it says nothing of today.
func cacheHitRate(first *minutes.Blocks, now store.DatabaseBlocks) (rate *float64, window *int64, reason string) {
	switch {
	case first == nil:
		return nil, nil, "there is no sample to compare with yet"
	case !first.Since.Equal(now.Since) || now.Hit < first.Hit || now.Read < first.Read:
		return nil, nil, "the statistics of the database began anew, and there is no sample of theirs to compare with yet"
	}
	hit, read := now.Hit-first.Hit, now.Read-first.Read
	if hit+read == 0 {
		return nil, nil, "the database looked for nothing in the window"
	}
	seconds := int64(now.At.Sub(first.At) / time.Second)
	return ratio(hit, hit+read), &seconds, ""
}

func roundTo(n float64, digits int) float64 {
	shift := math.Pow10(digits)
	return math.Round(n*shift) / shift
}
