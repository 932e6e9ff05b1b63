package mail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-smtp"
)

// refusedInARow is after how many mails that were refused one after the other a connection is closed. Postfix
// delays each answer on one with ten errors, by up to ten seconds.
const refusedInARow = 4

// submission is one mail on its way over one connection, or over a second where the first turned out to be dead.
type submission struct {
	pool     *Pool
	place    *place
	conn     *conn // nil: to be made
	held     bool  // a connection, or the leave to make one, is to be given back
	envelope Envelope
	content  []byte
	aged     bool // the connection has been used before, so that the server may have closed it
	trial    bool // the breaker wants to know how it ends
	settled  bool // and does
}

// settle tells the breaker how the mail ended, once.
func (s *submission) settle(ctx context.Context, err error) {
	if !s.settled {
		s.settled = true
		s.pool.note(s.pool.breaker.settle(ctx, err, s.trial))
	}
}

// giveBack returns the connection, or the leave to make one.
func (s *submission) giveBack() {
	if !s.held {
		return
	}
	c := s.conn
	if c != nil && !c.unusable && (c.mails >= s.pool.dialer.MailsPerConnection || c.refused >= refusedInARow) {
		c.quit(quitPatience)
	}
	s.pool.queue.give(c)
}

func (s *submission) run(ctx context.Context, commit func(context.Context) error) (Receipt, error) {
	opened := make(chan error, 1)
	joined := false
	join := func() error { joined = true; return <-opened }
	go func() { opened <- s.open(ctx) }()
	defer func() {
		if !joined { // commit panicked
			close(s.place.left)
			_ = join()
			s.drop()
		}
	}()
	select {
	case <-s.place.near:
	case err := <-opened:
		if opened <- err; err != nil {
			return Receipt{}, s.refused(ctx, join())
		}
	}
	if commit != nil {
		if err := commit(ctx); err != nil {
			close(s.place.left)
			s.abandon(ctx, join())
			return Receipt{}, fmt.Errorf("commit before the mail is sent: %w", err)
		}
	}
	if err := join(); err != nil {
		return Receipt{}, s.refused(ctx, err)
	}
	return s.data(ctx)
}

// open waits for a connection and begins the transaction on it.
func (s *submission) open(ctx context.Context) error {
	c, err := s.place.wait(ctx)
	if err != nil {
		return err
	}
	s.conn, s.held, s.aged = c, true, c != nil
	if s.trial, err = s.pool.breaker.admit(); err != nil {
		return err
	}
	if c == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	s.conn.mails++
	s.place.hurry()
	return s.beginOnLiving(ctx)
}

// connect makes a connection. Until the pool's first has been made, others wait for how that ends.
func (s *submission) connect(ctx context.Context) error {
	p := s.pool
	select {
	case <-p.proven:
	case p.first <- struct{}{}:
		defer func() { <-p.first }()
		if err := p.breaker.refusal(); err != nil && !s.trial {
			return err
		}
	case <-ctx.Done():
		return calledOff(ctx, StepConnect)
	}
	c, err := p.dialer.connect(ctx)
	if err != nil {
		s.settle(ctx, err)
		return err
	}
	p.prove.Do(func() { close(p.proven) })
	s.conn, s.aged = c, false
	return nil
}

// beginOnLiving begins the transaction, on a new connection where an old one turned out to be dead. That is safe, as
// nothing of the mail has been sent.
func (s *submission) beginOnLiving(ctx context.Context) error {
	err := s.begin(ctx)
	var r *Refusal
	if !s.aged || ctx.Err() != nil || !errors.As(err, &r) || r.Class != Channel || r.Code != 0 && r.Code != 421 {
		return err
	}
	s.drop()
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.conn.mails++
	return s.begin(ctx)
}

// begin says from whom and to whom.
func (s *submission) begin(ctx context.Context) error {
	c := s.conn
	if c.limit > 0 && len(s.content) > c.limit {
		return &Refusal{Class: TooLarge, Step: StepMail,
			Cause: fmt.Errorf("the mail has %d bytes, and the server takes %d", len(s.content), c.limit)}
	}
	stop := context.AfterFunc(ctx, func() { c.socket.Close() })
	defer stop()
	err := c.client.Mail(s.envelope.From, &smtp.MailOptions{
		Size: int64(len(s.content)), Return: smtp.DSNReturnHeaders, EnvelopeID: s.envelope.ID})
	if err = acceptable(err); err != nil {
		return s.judge(ctx, StepMail, err)
	}
	notify := []smtp.DSNNotify{smtp.DSNNotifyFailure}
	if s.envelope.Success {
		notify = []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure}
	}
	err = c.client.Rcpt(s.envelope.To, &smtp.RcptOptions{
		Notify: notify, OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: s.envelope.To})
	if err = acceptable(err); err != nil {
		return s.judge(ctx, StepRcpt, err)
	}
	return nil
}

// acceptable takes any 2xx as a yes. The library is content with some of them only.
func acceptable(err error) error {
	var reply *smtp.SMTPError
	if errors.As(err, &reply) && reply.Code/100 == 2 {
		return nil
	}
	return err
}

// judge classifies an error. Where the caller left, that is the cause, and not the socket that was closed for it.
func (s *submission) judge(ctx context.Context, step string, err error) *Refusal {
	r := classify(step, err, s.conn.authenticated).hide(s.pool.dialer.secrets())
	if r.Code == 0 && ctx.Err() != nil {
		r.Cause = context.Cause(ctx)
	}
	return r
}

// refused takes a connection back from a mail that was refused, in a state for the next one. Without RSET, Postfix
// would answer 503 to that, as to a transaction within one.
func (s *submission) refused(ctx context.Context, err error) error {
	var r *Refusal
	if s.conn == nil || !errors.As(err, &r) || r.Step == StepBreaker {
		return err
	}
	if r.Class == Channel || r.Class == Unknown || ctx.Err() != nil {
		s.drop()
		return err
	}
	if r.Code != 0 {
		s.conn.refused++
	}
	if s.conn.refused < refusedInARow && (r.Step == StepRcpt || r.Step == StepData) {
		s.reset()
	}
	return err
}

// abandon takes the connection back from a mail that is not to be sent.
func (s *submission) abandon(ctx context.Context, opened error) {
	switch {
	case s.conn == nil:
	case opened != nil:
		_ = s.refused(ctx, opened)
	case ctx.Err() != nil:
		s.drop()
	default:
		s.reset()
	}
}

// reset ends a transaction of which no content was sent. The library greets anew after it, here rather than at the
// expense of the next mail.
func (s *submission) reset() {
	err := s.conn.client.Reset()
	if err == nil {
		err = s.conn.client.Hello(s.pool.dialer.Hello)
	}
	if err != nil {
		s.drop()
	}
}

func (s *submission) drop() {
	if s.conn != nil {
		s.conn.close()
		s.conn = nil
	}
}

// data sends the content and waits for the server's word. Whatever goes wrong within closes the connection, as
// any command would first end the content.
func (s *submission) data(ctx context.Context) (Receipt, error) {
	c := s.conn
	stop := context.AfterFunc(ctx, func() { c.socket.Close() })
	content, err := c.client.Data()
	if !stop() && err == nil { // ctx ended meanwhile, and the socket is closed
		err = context.Cause(ctx)
	}
	if err != nil {
		return Receipt{}, s.refused(ctx, s.judge(ctx, StepData, err))
	}
	defer s.grace(ctx)()
	c.socket.beginBody(len(s.content), c.client.CommandTimeout)
	defer c.socket.endBody()
	if _, err := content.Write(s.content); err != nil {
		return Receipt{}, s.refused(ctx, s.judge(ctx, StepBody, err))
	}
	c.socket.beginDot()
	answer, err := content.CloseWithResponse()
	var reply *smtp.SMTPError
	switch {
	case err == nil:
		return s.accepted(250, answer.StatusText), nil
	case errors.As(err, &reply) && reply.Code/100 == 2:
		return s.accepted(reply.Code, reply.Message), nil
	case !errors.As(err, &reply) && !c.socket.dotSent():
		return Receipt{}, s.refused(ctx, s.judge(ctx, StepBody, err))
	}
	return Receipt{}, s.refused(ctx, s.judge(ctx, StepDot, err))
}

// grace closes the connection when ctx has ended and the time that a mail under way has then is over.
func (s *submission) grace(ctx context.Context) (end func()) {
	socket, patience := s.conn.socket, s.pool.dialer.StopGrace
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			socket.Close()
		case <-done:
		}
	})
	return func() {
		stop()
		close(done)
	}
}

func (s *submission) accepted(code int, text string) Receipt {
	s.conn.refused = 0
	reply := printable(text)
	return Receipt{Code: code, Reply: reply, QueueID: queueID(reply), DSN: s.conn.dsn}
}
