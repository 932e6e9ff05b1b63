package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/pghealth"
	"github.com/payaid/payaid/internal/store"
)

const (
	benchTables   = 400 // with four indexes each
	indexSamples  = 20
	indexesTarget = 200 * time.Millisecond
)

const makeBenchTables = `
DO $$ BEGIN FOR k IN 1..400 LOOP
    EXECUTE format('CREATE TABLE bench_%s (id integer PRIMARY KEY, a integer, b integer, c integer)', k);
    EXECUTE format('INSERT INTO bench_%s SELECT n, n, n, n FROM generate_series(1, 100) AS n', k);
    EXECUTE format('CREATE INDEX ON bench_%s (a)', k);
    EXECUTE format('CREATE INDEX ON bench_%s (b)', k);
    EXECUTE format('CREATE INDEX ON bench_%s (c)', k);
END LOOP; END $$`

// indexes measures what a sample of 1,600 indexes costs the database, beside the look at them.
func (b *bench) indexes(ctx context.Context) error {
	url, err := b.database(ctx, "indexes")
	if err != nil {
		return err
	}
	if err := b.makeTables(ctx, url); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "bench", MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	var samples, looks []time.Duration
	for range indexSamples {
		var taken pghealth.Taken
		err := db.Tx(ctx, func(tx pgx.Tx) (err error) {
			taken, err = pghealth.Take(ctx, tx, outbox.NewID())
			return err
		})
		if err != nil {
			return err
		}
		if taken.Indexes < 4*benchTables {
			return fmt.Errorf("the sample has %d indexes", taken.Indexes)
		}
		began := time.Now()
		err = db.Tx(ctx, func(tx pgx.Tx) error {
			_, err := pghealth.Examine(ctx, tx, pghealth.Options{})
			return err
		})
		if err != nil {
			return err
		}
		samples, looks = append(samples, taken.Took), append(looks, time.Since(began))
	}
	slices.Sort(samples)
	slices.Sort(looks)
	typical := samples[len(samples)/2]
	b.add(row{what: fmt.Sprintf("a sample of %d indexes, by the database's clock", 4*benchTables),
		value:   fmt.Sprintf("p50 %s, slowest %s", ms(typical), ms(samples[len(samples)-1])),
		against: fmt.Sprintf("a look with all findings: p50 %s", ms(looks[len(looks)/2])),
		target:  fmt.Sprintf("p50 < %s", ms(indexesTarget)), verdict: met(typical < indexesTarget)})
	return nil
}

func (b *bench) makeTables(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the database of the measurement: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, makeBenchTables); err != nil {
		return fmt.Errorf("make tables with indexes: %w", err)
	}
	return nil
}
