package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	netmail "net/mail"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

const (
	mailTurns = 4
	// mailBytes is the text of a mail, about what an invoice's has.
	mailBytes = 10_000
	// mailTarget is the part of a bare loop's rate that is to be left.
	mailTarget = 0.9
)

// mail measures what the product costs over a bare loop of go-smtp on the same real mail server.
func (b *bench) mail(ctx context.Context) error {
	if err := localstack.PostfixMissing(); err != nil {
		if slices.Contains(b.Only, "mail") {
			return err
		}
		b.add(row{what: "mail", value: "not measured", against: err.Error()})
		return nil
	}
	postfix, err := localstack.StartPostfix(ctx, localstack.PostfixOptions{Dir: filepath.Join(b.dir, "postfix"), Log: b.log})
	if err != nil {
		return err
	}
	defer b.stop(postfix.Stop)
	for _, connections := range []int{1, 8} {
		m := mailBench{bench: b, postfix: postfix, connections: connections}
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mailBench is a measurement with a number of connections.
type mailBench struct {
	*bench
	postfix     *localstack.Postfix
	connections int
}

func (m *mailBench) run(ctx context.Context) error {
	content, err := mail.Message{ID: outbox.NewID(), Date: time.Now(), From: benchSender, To: []netmail.Address{benchReader},
		Subject: "Invoice", Text: benchText}.Compose()
	if err != nil {
		return err
	}
	bare, closeAll, err := m.bareLoops(content)
	if err != nil {
		return err
	}
	defer closeAll()
	if err := m.byPool(ctx, content, bare); err != nil {
		return err
	}
	return m.byJobs(ctx, bare)
}

var (
	benchSender = netmail.Address{Address: "a@sender.test"}
	benchReader = netmail.Address{Address: "b@recipient.test"}
	benchText   = strings.Repeat("A line of a mail that says what an invoice is for.\n", mailBytes/51)
)

// server is the way in that a configuration gets: STARTTLS and a login.
func (m *mailBench) server() mail.Config {
	name, password := m.postfix.Login()
	return mail.Config{Host: "localhost", Port: m.postfix.Submission(), RootCAs: m.postfix.Roots(), User: name, Password: password,
		Hello: "bench.test", Connections: m.connections, Log: m.log}
}

// bareLoops are as many connections, each with nothing but go-smtp, over which the same mail goes again and again.
func (m *mailBench) bareLoops(content []byte) (loops []func(context.Context) error, closeAll func(), err error) {
	var clients []*smtp.Client
	closeAll = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	server := m.server()
	for range m.connections {
		c, err := smtp.DialStartTLS(net.JoinHostPort("localhost", strconv.Itoa(server.Port)), &tls.Config{RootCAs: server.RootCAs, ServerName: "localhost"})
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("open a bare connection: %w", err)
		}
		clients = append(clients, c)
		if err := c.Auth(sasl.NewPlainClient("", server.User, server.Password)); err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("log in on a bare connection: %w", err)
		}
		loops = append(loops, func(context.Context) error { return submitBare(c, content) })
	}
	return loops, closeAll, nil
}

func submitBare(c *smtp.Client, content []byte) error {
	if err := c.Mail(benchSender.Address, nil); err != nil {
		return err
	}
	if err := c.Rcpt(benchReader.Address, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Close()
}

// byPool compares the pool with the bare loops, in turns. Each of its mails is noted durably in Postgres before its
// content is sent, as the product does.
func (m *mailBench) byPool(ctx context.Context, content []byte, bare []func(context.Context) error) error {
	url, err := m.database(ctx, fmt.Sprintf("bench_mail_pool_%d", m.connections))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "bench", MaxConns: jobs.Mail.Workers})
	if err != nil {
		return err
	}
	defer db.Close()
	organization := outbox.NewID()
	if _, err := db.Pool().Exec(ctx, insertMailsToSend, organization, mailsToSend); err != nil {
		return fmt.Errorf("make mails to send: %w", err)
	}
	pool, err := mail.New(m.server())
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- pool.Run(running) }()
	var sent atomic.Int64
	sends := slices.Repeat([]func(context.Context) error{func(ctx context.Context) error {
		n := sent.Add(1)
		if n > mailsToSend {
			return fmt.Errorf("there are only %d mails: give a shorter --duration", mailsToSend)
		}
		h := store.Hold{OrganizationID: organization, JobID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n), Lease: 1}
		e := mail.Envelope{ID: h.JobID, From: benchSender.Address, To: benchReader.Address}
		_, err := pool.Send(ctx, e, content, func(ctx context.Context) error { return db.BeginSending(ctx, h, 1, h.JobID) })
		return err
	}}, jobs.Mail.Workers)
	theirs, ours, err := m.turns(ctx, bare, sends)
	cancel()
	if err = errors.Join(err, <-stopped); err != nil {
		return err
	}
	m.compare(fmt.Sprintf("mail by the pool, durable, %s", m.many()), ours, theirs)
	return nil
}

// mailsToSend are more than go out in the longest measurement.
const mailsToSend = 50_000

// insertMailsToSend makes jobs in a worker's hands, each with a mail to one recipient; $1 is the organization, $2 how many.
const insertMailsToSend = `
WITH ids AS (
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid AS id FROM generate_series(1, $2::int) i
), o AS (
    INSERT INTO organizations (id, name, state) VALUES ($1::uuid, 'Bench', 'MH') RETURNING id
), j AS (
    INSERT INTO jobs (organization_id, id, kind, queue, status, lease, max_attempts, input, event_id)
    SELECT o.id, ids.id, 'mail.send', 'mail', 'running', 1, 1, '{}', ids.id FROM o, ids
), m AS (
    INSERT INTO mail_messages (organization_id, id, stream) SELECT o.id, ids.id, 'transactional' FROM o, ids RETURNING organization_id, id
)
INSERT INTO mail_recipients (organization_id, message_id, position, field, address)
SELECT organization_id, id, 1, 'to', 'b@recipient.test' FROM m`

// turns measures both again and again, one after the other, as other programs slow the machine for some of the time.
func (m *mailBench) turns(ctx context.Context, bare, ours []func(context.Context) error) (theirs, own float64, err error) {
	for _, warm := range [][]func(context.Context) error{bare, ours} {
		if _, err := rate(ctx, 500*time.Millisecond, warm); err != nil {
			return 0, 0, err
		}
	}
	for range mailTurns {
		for _, one := range []struct {
			do  []func(context.Context) error
			sum *float64
		}{{bare, &theirs}, {ours, &own}} {
			r, err := rate(ctx, m.Duration/mailTurns, one.do)
			if err != nil {
				return 0, 0, err
			}
			*one.sum += r / mailTurns
		}
	}
	return theirs, own, nil
}

func (m *mailBench) many() string {
	if m.connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", m.connections)
}

func (m *mailBench) compare(what string, ours, bare float64) {
	m.add(row{what: what, value: fmt.Sprintf("%.0f /s", ours), against: fmt.Sprintf("go-smtp alone, as many connections, %.0f /s", bare),
		ratio: ours / bare, target: fmt.Sprintf(">= %.1f", mailTarget), verdict: met(ours/bare >= mailTarget)})
}

// byJobs compares whole jobs, from the queue to their end.
func (m *mailBench) byJobs(ctx context.Context, bare []func(context.Context) error) error {
	s, err := m.start(ctx, fmt.Sprintf("bench_mail_jobs_%d", m.connections), everything, func(s *stackSetup) {
		s.worker.queues[jobs.Mail.Name] = jobs.Mail.Workers
		s.worker.mail = mailServer{server: m.server(), from: benchSender}
	})
	if err != nil {
		return err
	}
	ours, theirs, err := m.workOff(ctx, s, bare)
	if err = errors.Join(err, s.stop()); err != nil {
		return err
	}
	m.compare(fmt.Sprintf("mail.send from queue to end, %s", m.many()), ours, theirs)
	return nil
}

// workOff submits jobs in turns with the bare loops, and gives the rates of both. What was worked while they were
// still being submitted isn't counted, as the submits had their part of the machine.
func (m *mailBench) workOff(ctx context.Context, s *stack, bare []func(context.Context) error) (ours, theirs float64, err error) {
	db, err := store.Open(ctx, store.PoolOptions{URL: s.url, Role: store.System, Name: "bench", MaxConns: 2})
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	body := fmt.Sprintf(`{"kind":"mail.send","input":{"to":[%q],"subject":"Invoice","text":%q}}`, benchReader.Address, benchText)
	strikes, closeAll, err := s.hammers(ctx, 4, blow{http.MethodPost, "/api/jobs", body, http.StatusAccepted})
	if err != nil {
		return 0, 0, err
	}
	defer closeAll()
	submitted := 0
	for range mailTurns {
		r, err := rate(ctx, m.Duration/mailTurns, bare)
		if err != nil {
			return 0, 0, err
		}
		theirs += r / mailTurns
		// As many as the bare loops had sent in this time, and those that go while they are submitted.
		n := max(50, int(r*m.Duration.Seconds()/mailTurns))
		if err := repeat(ctx, n, strikes); err != nil {
			return 0, 0, err
		}
		submitted += n
		if r, err = workRate(ctx, db, submitted); err != nil {
			return 0, 0, err
		}
		ours += r / mailTurns
	}
	return ours, theirs, nil
}

// workRate is how many jobs end in a second from now until all have.
func workRate(ctx context.Context, db *store.DB, all int) (float64, error) {
	var before, ended int
	if err := countMailed(ctx, db, &before); err != nil {
		return 0, err
	}
	began := time.Now()
	// Counting is work for the database, which is to be left for what is measured.
	err := until(ctx, 10*soon, func() (bool, error) {
		err := countMailed(ctx, db, &ended)
		return ended >= all, err
	})
	return float64(ended-before) / time.Since(began).Seconds(), err
}

func countMailed(ctx context.Context, db *store.DB, n *int) error {
	var failed int
	err := db.Pool().QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE status <> 'succeeded') FROM jobs
		WHERE kind = 'mail.send' AND finished_at IS NOT NULL`).Scan(n, &failed)
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d mails were not sent", failed)
	}
	return err
}
