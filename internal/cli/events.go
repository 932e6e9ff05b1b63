package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

type eventsCmd struct {
	Tail     eventsTailCmd     `cmd:"" help:"Print events as they are published."`
	Replay   eventsReplayCmd   `cmd:"" help:"Start again what events of the last week started."`
	Dead     eventsDeadCmd     `cmd:"" help:"Events that could not be routed."`
	NewEpoch eventsNewEpochCmd `cmd:"" name:"new-epoch" help:"Begin a new life of the outbox, after its database was restored from a copy."`
}

type eventsTailCmd struct {
	operatorSettings
	From uint64 `help:"Start at this sequence instead of at what comes next."`
	Type string `help:"Of one type only, such as job.completed."`
}

// Run prints events until it is interrupted.
func (c *eventsTailCmd) Run(ctx context.Context, a *app) error {
	return c.withStream(ctx, a, func(s *stream.Stream) error {
		from := c.From
		if from == 0 {
			_, last, err := s.State(ctx)
			if err != nil {
				return err
			}
			from = last + 1
		}
		return s.Follow(ctx, from, 100, func(batch []stream.Message) error {
			for _, m := range batch {
				e, _, err := m.Event()
				if err != nil {
					fmt.Fprintf(a.stdout, "%d  %s  %v\n", m.Seq, m.Subject, err)
				} else if c.Type == "" || c.Type == e.Type {
					fmt.Fprintf(a.stdout, "%d  %s  %s  organization=%s  subject=%s  %s\n", m.Seq,
						e.Time.Format(time.RFC3339Nano), e.Type, e.OrganizationID, e.Subject, e.Data)
				}
			}
			return nil
		})
	})
}

// withStream lends a command the event stream.
func (s operatorSettings) withStream(ctx context.Context, a *app, do func(*stream.Stream) error) error {
	r := running{NATSURL: s.NATSURL}
	if r.NATSURL == "" {
		var err error
		if r, err = s.find(a); err != nil {
			return err
		}
	}
	if r.NATSURL == "" {
		return errors.New("configuration: NATS_URL: is not set")
	}
	nc, err := connectNATS(r.NATSURL, "payaid-command", telemetry.NewLog(a.stderr, telemetry.Text, 0))
	if err != nil {
		return err
	}
	defer nc.Close()
	log, err := stream.Open(nc)
	if err != nil {
		return err
	}
	return do(log)
}

type eventsReplayCmd struct {
	operatorSettings
	Since string   `required:"" help:"A time (2026-01-31T10:00:00Z) or how long ago (2h)."`
	Type  []string `help:"Of these types only."`
	Yes   bool     `help:"Don't ask."`
}

// Run says how many jobs a replay starts, asks, and starts them.
func (c *eventsReplayCmd) Run(ctx context.Context, a *app) error {
	since, err := readSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	for _, t := range c.Type {
		if !knownType(t) {
			return fmt.Errorf("--type: there is no event %q", t)
		}
	}
	return c.withDB(ctx, a, func(db *store.DB) error {
		table := a.table(jobs.Deps{})
		plan, err := workers.PlanReplay(ctx, db, table, since, c.Type)
		if err != nil {
			return err
		}
		if printPlan(a, plan) == 0 {
			return nil
		}
		if !c.Yes && !confirmed(a, "Start them?") {
			return errors.New("nothing was started")
		}
		started, err := workers.Replay(ctx, db, table, plan)
		if err == nil {
			fmt.Fprintf(a.stdout, "started %d jobs\n", started)
		}
		return err
	})
}

// printPlan says what a replay would start, and returns how many jobs that is.
func printPlan(a *app, p workers.Plan) int {
	total := 0
	for _, n := range p.Jobs {
		total += n
	}
	fmt.Fprintf(a.stdout, "%d events since %s; routing them again starts %d jobs\n", p.Events, moment(&p.Since), total)
	for _, kind := range sortedNames(p.Jobs) {
		fmt.Fprintf(a.stdout, "  %6d  %s\n", p.Jobs[kind], kind)
	}
	return total
}

func readSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.After(now) {
		return t, fmt.Errorf("--since: want a past time such as 2026-01-31T10:00:00Z, or a span such as 2h, got %q", s)
	}
	return t, nil
}

func knownType(name string) bool {
	for _, k := range events.Catalogue() {
		if k.Type == name {
			return true
		}
	}
	return false
}

func confirmed(a *app, question string) bool {
	fmt.Fprint(a.stdout, question, " [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(line), "y")
}

type eventsDeadCmd struct {
	List    eventsDeadListCmd    `cmd:"" default:"withargs" help:"List them (the default)."`
	Redrive eventsDeadRedriveCmd `cmd:"" help:"Route them again."`
}

type eventsDeadListCmd struct {
	operatorSettings
	All bool `help:"Also those that were redriven."`
}

// Run lists dead events.
func (c *eventsDeadListCmd) Run(ctx context.Context, a *app) error {
	return c.withDB(ctx, a, func(db *store.DB) error {
		dead, err := db.DeadEvents(ctx, c.All, 0, 1000)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSEQUENCE\tSUBJECT\tRECEIVED\tREDRIVEN\tREASON")
		for _, d := range dead {
			fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.StreamSeq, d.Subject, moment(&d.ReceivedAt), moment(d.RedrivenAt), d.Reason)
		}
		return w.Flush()
	})
}

type eventsDeadRedriveCmd struct {
	operatorSettings
	ID  []string `arg:"" optional:"" help:"Of the dead events."`
	All bool     `help:"All of them."`
}

// Run routes dead events again.
func (c *eventsDeadRedriveCmd) Run(ctx context.Context, a *app) error {
	if c.All == (len(c.ID) > 0) {
		return errors.New("name dead events by their ids, or give --all")
	}
	var ids []int64
	for _, s := range c.ID {
		id, err := strconv.ParseInt(s, 10, 64)
		if err != nil || id < 1 {
			return fmt.Errorf("%q is no id of a dead event", s)
		}
		ids = append(ids, id)
	}
	return c.withDB(ctx, a, func(db *store.DB) error {
		done, failed, err := workers.Redrive(ctx, db, a.table(jobs.Deps{}), ids)
		fmt.Fprintf(a.stdout, "redrove %d\n", done)
		for id, why := range failed {
			fmt.Fprintf(a.stderr, "payaid: dead event %d: %v\n", id, why)
		}
		if err == nil && len(failed) > 0 {
			err = fmt.Errorf("%d dead events are as they were", len(failed))
		}
		return err
	})
}

type eventsNewEpochCmd struct {
	operatorSettings
	Reason string `default:"the database was restored from a copy" help:"Noted with the epoch."`
	Yes    bool   `help:"Don't ask."`
}

// Help implements kong.HelpProvider.
func (eventsNewEpochCmd) Help() string {
	return "Relay and workers say when this is needed: transaction numbers begin again in a database that was restored by " +
		"other tools than `payaid backup restore`, which does it by itself, and positions in the stream mean nothing any more. " +
		"What was not carried out when the copy was taken, and what came since, is published once; what else the stream has " +
		"is passed over. Run it before processes are started on the restored database."
}

// Run begins a new life of the outbox.
func (c *eventsNewEpochCmd) Run(ctx context.Context, a *app) error {
	if !c.Yes && !confirmed(a, "Was the database restored from a copy?") {
		return errors.New("nothing was changed")
	}
	return c.withDB(ctx, a, func(db *store.DB) error {
		again, err := outbox.NewEpoch(ctx, db.Pool(), c.Reason)
		if err == nil {
			fmt.Fprintf(a.stdout, "a new epoch has begun; %d events that were not carried out yet are published\n", again)
		}
		return err
	})
}
