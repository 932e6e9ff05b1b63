package pghealth

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lockWait is how long a look waits for a table that is locked: behind it, everybody else who wants the table waits
// already.
const lockWait = `SELECT set_config('lock_timeout', '500ms', true)`

const lockTimeout = "55P03"

// unlessLocked does something that waits for locks on tables, and does it again without needing them when they were
// not to be had.
func unlessLocked(ctx context.Context, tx pgx.Tx, do func(tx pgx.Tx, exact bool) error) (blind bool, err error) {
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockWait); err != nil {
			return err
		}
		return do(tx, true)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == lockTimeout {
		return true, do(tx, false)
	}
	return false, err
}

func look(ctx context.Context, tx pgx.Tx, major int, exact bool) (*Catalogue, error) {
	c := &Catalogue{Tables: make(map[uint32]*Table)}
	b := &pgx.Batch{}
	b.Queue(selectServer).QueryRow(func(row pgx.Row) error {
		s := &c.Server
		return row.Scan(&s.At, &s.Version, &s.SystemIdentifier, &s.DatabaseOID, &s.StatisticsSince, &s.StartedAt, &s.InRecovery,
			&s.Replicas, &s.BlockSize, &s.Density, &s.BlocksHit, &s.BlocksRead)
	})
	b.Queue(columnsOf(selectIndexes, major), exact).Query(func(rows pgx.Rows) (err error) {
		c.Indexes, err = pgx.CollectRows(rows, scanIndex)
		return err
	})
	b.Queue(selectTables, exact).Query(func(rows pgx.Rows) error {
		tables, err := pgx.CollectRows(rows, scanTable)
		for _, t := range tables {
			c.Tables[t.OID] = t
		}
		return err
	})
	b.Queue(selectForeignKeys).Query(func(rows pgx.Rows) (err error) {
		c.Keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k ForeignKey, err error) {
			return k, row.Scan(&k.Name, &k.TableOID, &k.OtherOID, &k.Columns, &k.Names)
		})
		return err
	})
	b.Queue(selectBuilds).Query(func(rows pgx.Rows) (err error) {
		c.Builds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Build])
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	c.sumUp()
	return c, nil
}

func scanIndex(row pgx.CollectableRow) (*Index, error) {
	var i Index
	n := &i.Counters
	return &i, row.Scan(&i.OID, &i.TableOID, &i.Schema, &i.Table, &i.Name, &i.Method, &i.Partitioned, &i.ParentOID, &i.Unique, &i.Primary,
		&i.Exclusion, &i.ReplicaIdent, &i.Clustered, &i.Valid, &i.Ready, &i.Immediate, &i.NullsNotDistinct, &i.KeyColumns, &i.Columns,
		&i.Classes, &i.Collations, &i.Options, &i.Predicate, &i.Expressions, &i.Constraint, &i.Referenced, &i.Extension, &i.Rows, &i.FillFactor,
		&i.Definition, &n.Scans, &n.TuplesRead, &n.TuplesFetched, &n.BlocksHit, &n.BlocksRead, &i.LastScan, &i.Size)
}

func scanTable(row pgx.CollectableRow) (*Table, error) {
	var t Table
	n := &t.Counters
	return &t, row.Scan(&t.OID, &t.Schema, &t.Name, &t.Partitioned, &t.Partition, &t.Extension, &t.Rows, &t.Live, &t.Size,
		&n.SeqScans, &n.SeqTuplesRead, &n.IndexScans, &n.Inserted, &n.Updated, &n.Deleted, &t.LastAnalyzed, &t.PartitionOIDs)
}

// sumUp gives the indexes of partitioned tables what their children have: nothing is counted at the parent.
func (c *Catalogue) sumUp() {
	byOID := make(map[uint32]*Index, len(c.Indexes))
	for _, i := range c.Indexes {
		byOID[i.OID] = i
	}
	for _, child := range c.Indexes {
		if child.Partitioned {
			continue
		}
		for up := byOID[child.ParentOID]; up != nil; up = byOID[up.ParentOID] {
			up.Counters.add(child.Counters)
			up.Size += child.Size
			if child.LastScan != nil && (up.LastScan == nil || up.LastScan.Before(*child.LastScan)) {
				up.LastScan = child.LastScan
			}
		}
	}
}

func (n *Counters) add(m Counters) {
	n.Scans += m.Scans
	n.TuplesRead += m.TuplesRead
	n.TuplesFetched += m.TuplesFetched
	n.BlocksHit += m.BlocksHit
	n.BlocksRead += m.BlocksRead
}

// since is what was counted since an earlier look. A counter that fell began anew in between, at some time and from
// nothing.
func (n Counters) since(before Counters) (d Counters, anew bool) {
	if n.Scans < before.Scans || n.TuplesRead < before.TuplesRead || n.TuplesFetched < before.TuplesFetched ||
		n.BlocksHit < before.BlocksHit || n.BlocksRead < before.BlocksRead {
		return n, true
	}
	return Counters{n.Scans - before.Scans, n.TuplesRead - before.TuplesRead, n.TuplesFetched - before.TuplesFetched,
		n.BlocksHit - before.BlocksHit, n.BlocksRead - before.BlocksRead}, false
}

func (n TableCounters) since(before TableCounters) (d TableCounters, anew bool) {
	if n.SeqScans < before.SeqScans || n.SeqTuplesRead < before.SeqTuplesRead || n.IndexScans < before.IndexScans ||
		n.Inserted < before.Inserted || n.Updated < before.Updated || n.Deleted < before.Deleted {
		return n, true
	}
	return TableCounters{n.SeqScans - before.SeqScans, n.SeqTuplesRead - before.SeqTuplesRead, n.IndexScans - before.IndexScans,
		n.Inserted - before.Inserted, n.Updated - before.Updated, n.Deleted - before.Deleted}, false
}

// HitRate is the part of the blocks that were found in the server's memory; nil: none was wanted.
func (n Counters) HitRate() *float64 {
	all := n.BlocksHit + n.BlocksRead
	if all == 0 {
		return nil
	}
	rate := float64(n.BlocksHit) / float64(all)
	return &rate
}
