package api

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

// change carries a write out in one transaction of the caller's organization, together with the facts
// that it came to, and announces them after the commit. No facts: nothing changed.
func (s *Server) change(ctx context.Context, do func(pgx.Tx) ([]events.Fact, error)) error {
	x := exchangeOf(ctx)
	var facts []events.Fact
	err := s.DB.TxAs(ctx, x.caller.OrganizationID, func(tx pgx.Tx) (err error) {
		facts, err = do(tx)
		return appendFacts(ctx, tx, x, facts, err)
	})
	if err == nil {
		s.announce(ctx, facts)
	}
	return err
}

// changeOnce is change for a POST that may come with an Idempotency-Key: a repeat gets the first answer.
func (s *Server) changeOnce(ctx context.Context, do func(pgx.Tx) (answer, []events.Fact, error)) (answer, error) {
	x := exchangeOf(ctx)
	var facts []events.Fact
	a, err := s.once(ctx, func(tx pgx.Tx) (a answer, err error) {
		a, facts, err = do(tx)
		return a, appendFacts(ctx, tx, x, facts, err)
	})
	if err == nil && !a.replayed {
		s.announce(ctx, facts)
	}
	return a, err
}

func appendFacts(ctx context.Context, tx pgx.Tx, x *exchange, facts []events.Fact, err error) error {
	if err != nil || len(facts) == 0 {
		return err
	}
	return outbox.Append(ctx, tx, x.origin(), facts...)
}

// announce tells the other processes of facts that have been committed. They hear of them anyway, later.
func (s *Server) announce(ctx context.Context, facts []events.Fact) {
	if len(facts) == 0 {
		return
	}
	s.terms.changed(facts)
	s.invalidate(ctx, facts)
	s.Hints.OutboxChanged()
}
