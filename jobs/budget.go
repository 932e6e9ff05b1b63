package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// reserveTimeout bounds the question whether there is money: the provider's own time goes on meanwhile.
const reserveTimeout = 5 * time.Second

// budget is what an organization may spend on one of its jobs.
type budget struct {
	deps Deps
	job  store.Job
	now  func() time.Time
	paid int64 // on reserved money, in billionths of a dollar
}

// terms are the organization's of the moment, for inference.Prompt: they may have changed since the job began.
func (b *budget) terms(ctx context.Context) (inference.Budget, error) {
	policy, err := store.OrganizationAI(ctx, b.deps.DB.Pool(), b.job.OrganizationID)
	switch {
	case err != nil:
		return nil, err
	case policy.LocalOnly:
		return nil, &inference.Refused{Reason: "the organization allows models in the house only"}
	case policy.MonthlyBudget == nil:
		return nil, nil
	}
	return b, nil
}

// purse is about what an organization has left, in billionths of a dollar; nil: it has no budget. What is set aside
// counts as being there, as most of it comes back.
func (d Deps) purse(policy store.AIPolicy) *int64 {
	if policy.MonthlyBudget == nil || d.RupeesPerDollar <= 0 {
		return nil
	}
	left := (float64(*policy.MonthlyBudget)*store.NanoPerPaisa - float64(policy.Spent)) / d.RupeesPerDollar
	nano := int64(min(max(left, 0), math.MaxInt64/2))
	return &nano
}

// Reserve implements inference.Budget. It is not cut short by the end of the provider's time: what would be set
// aside then, unknown to us, would count as spent.
func (b *budget) Reserve(ctx context.Context, nanoUSD int64) (settle func(nanoUSD int64), err error) {
	r := store.AIReservation{OrganizationID: b.job.OrganizationID, ID: outbox.NewID(), JobID: b.job.ID, NanoINR: b.deps.rupees(nanoUSD)}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserveTimeout)
	defer cancel()
	account, granted, err := b.deps.DB.ReserveAI(asking, r, b.now())
	switch {
	case err == nil && !granted:
		return nil, &inference.Refused{Reason: usedUp(account, r.NanoINR)}
	case err == nil && ctx.Err() == nil:
		return func(cost int64) {
			b.paid += cost
			b.settle(ctx, r, b.deps.rupees(cost))
		}, nil
	case err == nil:
		err = ctx.Err()
	}
	// Nothing is asked, so nothing is spent, in case that it was set aside. If that fails it is swept.
	giveBack, stop := context.WithTimeout(context.WithoutCancel(ctx), reserveTimeout)
	defer stop()
	if failed := b.deps.Relaxed.SettleAI(giveBack, r, 0); failed != nil {
		b.deps.Log.Warn("reservation is left to be swept", "job_id", b.job.ID, "organization_id", b.job.OrganizationID, "error", failed)
	}
	return nil, err
}

// settle outlives the job's context, and a restart of Postgres. If the database forgets it, as it commits without
// waiting for the disk, or never hears of it, the reservation is swept and counts in full.
func (b *budget) settle(ctx context.Context, r store.AIReservation, cost int64) {
	if cost > r.NanoINR {
		b.deps.Log.Error("a call did cost more than was set aside", "job_id", b.job.ID, "organization_id", b.job.OrganizationID,
			"nano_inr", cost, "reserved_nano_inr", r.NanoINR)
	}
	if err := persist(ctx, func(ctx context.Context) error { return b.deps.Relaxed.SettleAI(ctx, r, cost) }); err != nil {
		b.deps.Log.Error("reservation is left to be swept", "job_id", b.job.ID, "organization_id", b.job.OrganizationID, "error", err)
	}
}

// bookUnlimited books what was spent on no budget, so that one that is set later knows of it. It is tried once, as
// to try again might book it twice; each call's cost is in its record all the same.
func (b *budget) bookUnlimited(ctx context.Context, attempts []inference.Attempt) {
	cost := -b.paid
	for _, a := range attempts {
		cost += a.CostNanoUSD
	}
	if cost <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := b.deps.Relaxed.SpendAI(ctx, b.job.OrganizationID, b.deps.rupees(cost), time.Now()); err != nil {
		b.deps.Log.Warn("spent money is not booked", "job_id", b.job.ID, "organization_id", b.job.OrganizationID, "error", err)
	}
}

// attemptsTo are the attempts of an answer, or of its failure.
func attemptsTo(a inference.Answer, err error) []inference.Attempt {
	var failed *inference.Error
	if errors.As(err, &failed) {
		return failed.Attempts
	}
	return a.Attempts
}

// rupees turns billionths of a dollar into billionths of a rupee, and never less than they are worth.
func (d Deps) rupees(nanoUSD int64) int64 {
	return int64(math.Ceil(float64(nanoUSD) * d.RupeesPerDollar))
}

// usedUp says what is the matter with a budget, for the sentence "Groq is not asked, for …", and when it starts
// again.
func usedUp(a store.AIAccount, wanted int64) string {
	if *a.Budget == 0 {
		return "the organization's budget is ₹0: it pays for no model"
	}
	until := a.Month.AddDate(0, 1, 0).Format("2 January")
	left := *a.Left()
	if left == 0 || wanted <= 0 {
		return fmt.Sprintf("the organization's budget of %s for this month is used up (until %s)", rupees.Format(*a.Budget), until)
	}
	return fmt.Sprintf("what is left of the organization's budget of %s for this month, %s, may not be enough for this call (until %s)",
		rupees.Format(*a.Budget), rupees.Format(left), until)
}
