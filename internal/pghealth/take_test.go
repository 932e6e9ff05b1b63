package pghealth

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// counter counts the statements of a connection.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.n.Add(1) }
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// counted gives how many statements a sample and a look take.
func (s *site) counted() (take, examine int64) {
	s.Helper()
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		s.Fatal(err)
	}
	c := &counter{}
	config.Tracer = c
	conn, err := pgx.ConnectConfig(s.Context(), config)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close(s.Context())
	exec(s.T, conn, `SET ROLE payaid_system`)
	c.n.Store(0)
	err = pgx.BeginFunc(s.Context(), conn, func(tx pgx.Tx) error {
		_, err := Take(s.Context(), tx, uuid.NewString())
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	take = c.n.Swap(0)
	err = pgx.BeginFunc(s.Context(), conn, func(tx pgx.Tx) error {
		_, err := Examine(s.Context(), tx, Options{})
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return take, c.n.Load()
}

// However many indexes there are, a sample is a handful of statements.
func TestSamplesTakeFewStatements(t *testing.T) {
	t.Parallel()
	s := onNewest(t)
	take, examine := s.counted()
	s.do(`DO $$ BEGIN FOR k IN 1..100 LOOP
		EXECUTE format('CREATE TABLE many_%s (id integer PRIMARY KEY, a integer, b integer, c integer)', k);
		EXECUTE format('CREATE INDEX ON many_%s (a)', k);
		EXECUTE format('CREATE INDEX ON many_%s (b)', k);
		EXECUTE format('CREATE INDEX ON many_%s (c)', k);
	END LOOP; END $$`)
	moreTake, moreExamine := s.counted()
	if take != moreTake || examine != moreExamine || take > 20 || examine > 20 {
		t.Errorf("a sample took %d statements, and with 400 more indexes %d; a look %d, and %d", take, moreTake, examine, moreExamine)
	}
}

// Days that are over are added up, once, and what is old goes.
func TestDays(t *testing.T) {
	onEach(t, func(s *site) {
		s.sample()
		s.age("1 day")
		s.use()
		s.use()
		s.sample() // today: the two
		s.age("1 day")
		s.use()
		s.sample()
		exec(s.T, s.super, `SELECT pg_stat_reset_single_table_counters('idx_big'::regclass)`)
		s.use()
		s.use()
		s.sample() // today: one, and after the reset two
		s.age("1 day")
		s.sample()
		s.sample()
		r := s.examine()
		var days []Day
		err := pgx.BeginFunc(s.Context(), s.system, func(tx pgx.Tx) (err error) {
			days, err = Days(s.Context(), tx, r.index(s.T, "idx_big"))
			return err
		})
		if err != nil {
			s.Fatal(err)
		}
		var got []string
		for _, d := range days {
			got = append(got, fmt.Sprintf("%d in %d", d.Counters.Scans, d.Samples))
			if d.Size != r.index(s.T, "idx_big").Size || !d.Day.Before(time.Now()) {
				s.Errorf("day %+v", d)
			}
		}
		if want := []string{"0 in 1", "2 in 1", "3 in 2"}; !slices.Equal(got, want) {
			s.Errorf("the days have scans and samples %q, want %q", got, want)
		}
	}, (*site).big)
}

// Weeks come before they are needed, and go when they are old; who reads them keeps them for a while.
func TestOldSamplesGo(t *testing.T) {
	onEach(t, func(s *site) {
		weeks := func() (all []string) {
			rows, err := s.super.Query(s.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits
				WHERE inhparent IN ('index_samples'::regclass, 'table_samples'::regclass) ORDER BY 1`)
			if err != nil {
				s.Fatal(err)
			}
			if all, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				s.Fatal(err)
			}
			return all
		}
		first := weeks()
		if len(first) != 4 {
			s.Fatalf("there are %q, want this week and the next of both", first)
		}
		old := time.Now().UTC().AddDate(0, 0, -50)
		monday := old.AddDate(0, 0, -int(old.Weekday()+6)%7)
		for _, parent := range []string{"index_samples", "table_samples"} {
			s.do(fmt.Sprintf(`CREATE TABLE %s_%s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')`, parent, monday.Format("20060102"), parent,
				monday.Format(time.DateOnly), monday.AddDate(0, 0, 7).Format(time.DateOnly)))
		}
		s.do(`INSERT INTO index_sample_runs SELECT gen_random_uuid(), now() - interval '31 days', 1, 1, NULL, now(), 1, 1, 1, 1, 1, 1`,
			`INSERT INTO index_sample_days SELECT current_date - d, 1, 'x', 0, 0, 0, 0, 0, 1 FROM unnest(ARRAY[399, 401]) AS d`)
		reader := s.connect(s.url)
		exec(s.T, reader, `BEGIN`, `SELECT count(*) FROM table_samples`)
		if taken := s.sample(); !taken.Behind || len(weeks()) != 6 {
			s.Errorf("with a reader: behind %t, weeks %q", taken.Behind, weeks())
		}
		exec(s.T, reader, `COMMIT`)
		if taken := s.sample(); taken.Behind || !slices.Equal(weeks(), first) {
			s.Errorf("without: behind %t, weeks %q", taken.Behind, weeks())
		}
		var runs, days int
		if err := s.super.QueryRow(s.Context(), `SELECT (SELECT count(*) FROM index_sample_runs), (SELECT count(*) FROM index_sample_days)`).Scan(&runs, &days); err != nil || runs != 2 || days != 1 {
			s.Errorf("%d samples and %d days are left, %v; want the two taken now and the younger day", runs, days, err)
		}
	})
}

// A sample counts its own time, and says what it has.
func TestTaken(t *testing.T) {
	t.Parallel()
	s := onNewest(t)
	taken := s.sample()
	var id string
	var rows, tables int
	err := s.super.QueryRow(t.Context(), `SELECT id, (SELECT count(*) FROM index_samples), (SELECT count(*) FROM table_samples) FROM index_sample_runs
		WHERE taken_at = $1`, taken.At).Scan(&id, &rows, &tables)
	if err != nil || id != taken.ID || rows != taken.Indexes || tables < 30 || taken.Took <= 0 || taken.Took > time.Minute {
		t.Errorf("%+v: %s, %d indexes, %d tables, %v", taken, id, rows, tables, err)
	}
	var took float64
	if err := s.super.QueryRow(t.Context(), `SELECT took_us FROM index_sample_runs`).Scan(&took); err != nil || took != float64(taken.Took.Microseconds()) {
		t.Errorf("it took %v, and on record are %v us, %v", taken.Took, took, err)
	}
}
