package chaos

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/localstack"
)

// A post is what TestChaosOfMail runs: workers that send mail to a real server, each behind wires of its own.
type post struct {
	*stack
	pool    *pgxpool.Pool
	postfix *localstack.Postfix
	victims []*victim
	load    *load

	dealt atomic.Int32 // kills that were handed out
	dead  atomic.Int32 // and done
}

// TestChaosOfMail kills workers at every boundary of a mail's way, and then holds what the server's log says that it
// accepted against what became of the mails here: none is lost, and none is sent twice but those of whom nobody knew,
// where the sender wants those sent again.
func TestChaosOfMail(t *testing.T) {
	t.Parallel()
	p := newMailPost(t)
	keeping, stop := context.WithCancel(t.Context())
	var keepers sync.WaitGroup
	for _, v := range p.victims {
		keepers.Go(func() { v.keep(keeping) })
	}
	defer keepers.Wait()
	defer stop()
	began := time.Now()
	p.fight(t)
	fought := time.Since(began)
	p.settle(t)
	p.judge(t, fought, time.Since(began)-fought)
}

func newMailPost(t *testing.T) *post {
	t.Helper()
	p := &post{stack: newStack(t), postfix: localstack.NewPostfix(t, localstack.PostfixOptions{})}
	p.pool = p.stack.pool()
	_, admin := p.api("api")
	_, own := admin.organization(t, "Sender")
	p.load = newLoad(1, own)
	p.relay("relay")
	for i := range 3 {
		p.victims = append(p.victims, newVictim(t, p, fmt.Sprintf("worker-%d", i+1)))
	}
	return p
}

// mailWorker starts a worker that reaches the database and the mail server through wires.
func (p *post) mailWorker(name, database, server string) *process {
	p.t.Helper()
	u, err := url.Parse(p.database)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = database
	q := u.Query()
	q.Set("default_query_exec_mode", "cache_describe") // spells each statement out whenever it is executed
	u.RawQuery = q.Encode()
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.process(name, []string{"DATABASE_URL=" + u.String(), "DB_POOL_SIZE=8", "DB_POOL_OVERFLOW=2", "SMTP_HOST=" + host, "SMTP_PORT=" + port,
		"SMTP_FROM=noreply@example.com", "SMTP_CONNECTIONS=8", "MAIL_RATE_LIMIT=0"}, "worker", "--queue", "mail:8", "--queue", "maintenance")
}

// fight hands mails over and kills workers until as many were killed as were asked for. In between Postgres is killed,
// and the mail server.
func (p *post) fight(t *testing.T) {
	t.Helper()
	ctx, enough := context.WithCancel(within(t, time.Minute+time.Duration(*mailKillsFlag)*2*time.Second))
	defer enough()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.feed(ctx) })
	group.Go(func() error { return p.outages(ctx) })
	var killing sync.WaitGroup
	for _, v := range p.victims {
		killing.Add(1)
		group.Go(func() error {
			defer killing.Done()
			return p.hunt(ctx, v)
		})
	}
	killing.Wait()
	enough()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// hunt kills a worker at one boundary after the other. It is started again each time, as a process manager would.
func (p *post) hunt(ctx context.Context, v *victim) error {
	for {
		n := int(p.dealt.Add(1)) - 1
		if n >= *mailKillsFlag {
			return nil
		}
		if err := v.killAt(ctx, &boundaries[n%len(boundaries)]); err != nil {
			return fmt.Errorf("%s was not killed %s: %w", v.name, boundaries[n%len(boundaries)].name, err)
		}
		p.dead.Add(1)
	}
}

// outages kills the services once each, when a third and two thirds of the kills are done. Their supervisors start
// them again.
func (p *post) outages(ctx context.Context) error {
	for i, kill := range []func(){p.postgres.Kill, p.postfix.Kill} {
		for int(p.dead.Load()) < (i+1)**mailKillsFlag/3 {
			if pause(ctx, 100*time.Millisecond) != nil {
				return nil
			}
		}
		kill()
	}
	return nil
}

// feed hands mails over all the time, half of them such as are not sent again by themselves.
func (p *post) feed(ctx context.Context) error {
	for n := 0; ; n++ {
		var mails []string
		for i := range 5 {
			policy, more := "resend", ""
			if i%2 == 1 {
				policy = "hold"
			}
			if i == 4 {
				more = fmt.Sprintf(`,"cc":["c%d@example.org"],"bcc":["d%d@example.org"]`, n, n)
			}
			mails = append(mails, fmt.Sprintf(`{"kind":"mail.send","input":{"to":["r%d-%d@example.org"]%s,"subject":"x","text":%q,"on_unknown":%q}}`,
				n, i, more, strings.Repeat("All work and no play. ", 100), policy))
		}
		err := p.load.insist(ctx, request{key: fmt.Sprintf("mails-%d", n), path: "/api/jobs/batch", body: `{"jobs":[` + strings.Join(mails, ",") + `]}`, jobs: 5}, 0)
		if ctx.Err() != nil {
			return nil // what it was to hand over may be in or not, and nobody was told
		}
		if err != nil || pause(ctx, 400*time.Millisecond) != nil {
			return err
		}
	}
}

// settle waits until every job has ended.
func (p *post) settle(t *testing.T) {
	t.Helper()
	err := eventually(within(t, 2*time.Minute), func(ctx context.Context) error {
		var open int
		err := p.pool.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE finished_at IS NULL`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d jobs have not ended", open)
		}
		return err
	})
	must(t, "wait for the jobs", err)
	must(t, "wait for the mail server", p.postfix.Drain(within(t, time.Minute)))
}
