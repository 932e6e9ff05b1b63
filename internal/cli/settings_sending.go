package cli

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

// sendingSettings say how mail is sent, whichever server takes it.
type sendingSettings struct {
	bounceSettings
	MailRateLimit string `name:"mail-rate-limit" env:"MAIL_RATE_LIMIT" default:"1000/1h" help:"Mails that one organization may send within a time, each recipient counted: N/TIME, or 0 for no limit. What is beyond waits."`
	MailReceipts  string `name:"mail-receipts" env:"MAIL_RECEIPTS" default:"false" help:"true asks the mail server for a report of each delivery, at the cost of one mail coming in for each going out. With false it does where on_unknown is hold."`
}

// sending is how mail is sent.
type sending struct {
	bounces  ticket.Bounces
	limit    int // 0: none
	window   time.Duration
	receipts bool
}

func (s sendingSettings) check(p *problems) sending {
	out := sending{bounces: s.bounceSettings.check(p), receipts: p.truth("MAIL_RECEIPTS", s.MailReceipts)}
	if s.MailRateLimit == "0" {
		return out
	}
	number, window, _ := strings.Cut(s.MailRateLimit, "/")
	var err, err2 error
	out.limit, err = strconv.Atoi(strings.TrimSpace(number))
	out.window, err2 = time.ParseDuration(strings.TrimSpace(window))
	if err != nil || err2 != nil || out.limit < 1 || out.limit > 1_000_000 || out.window < time.Second || out.window > 31*24*time.Hour {
		p.add("MAIL_RATE_LIMIT", "want N/TIME with N from 1 to 1000000 and a time from 1s to 744h, such as 1000/1h, or 0, got %q", s.MailRateLimit)
	}
	return out
}

// evidenceTime is how long a report of success takes at most, on a server that is not in trouble.
const evidenceTime = 2 * time.Minute

// mailing makes what mail.send needs. Its run keeps the connections to the mail server, and closes them when its
// context ends.
func (w workerSetup) mailing(db *store.DB, log *slog.Logger) (m jobs.Mailing, run func(context.Context), err error) {
	m = jobs.Mailing{From: w.mail.from, Bounces: w.sending.bounces, Tickets: tickets(db), PublicURL: w.publicURL, Receipts: w.sending.receipts}
	if !m.Bounces.IsZero() {
		m.Evidence = evidenceTime
	}
	var limiter *ratelimit.Limiter
	if w.sending.limit > 0 {
		if limiter, err = newLimiter(w.sending.window, w.redisURL, log); err != nil {
			return m, nil, err
		}
		m.Rate = jobs.MailRate{Limiter: limiter, Limit: w.sending.limit}
	}
	forget := func(ctx context.Context) {
		<-ctx.Done()
		if limiter != nil {
			_ = limiter.Close()
		}
	}
	if w.mail.server.Host == "" {
		return m, forget, nil
	}
	if w.publicURL == "" && w.queues[jobs.Mail.Name] > 0 {
		log.Warn("mails have no link to unsubscribe", "remedy", linkRemedy)
	}
	config := w.mail.server
	config.Log = log
	pool, err := mail.New(config)
	if err != nil {
		return m, nil, err
	}
	m.Mailer = pool
	return m, func(ctx context.Context) {
		_ = pool.Run(ctx) // it ends with its context, and never otherwise
		forget(ctx)
	}, nil
}
