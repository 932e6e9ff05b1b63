package cli

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

// bounceSettings are for whoever sends mail, and for whoever hears what became of it.
type bounceSettings struct {
	MailBounces string `name:"mail-bounces" env:"MAIL_BOUNCES" help:"Address to which mail servers report, such as bounces@example.com. Behind a plus before its @ each mail has a mark of its own, so what comes to any bounces+…@example.com must be delivered to LMTP_LISTEN. Unless set, mails come back to SMTP_FROM, and nobody counts them."`
}

// inboxSettings are for whoever takes reports in.
type inboxSettings struct {
	LMTPListen string `name:"lmtp-listen" env:"LMTP_LISTEN" help:"Address at which a worker of the queue mail takes reports from the mail server, over LMTP: 127.0.0.1:2424. Nobody listens unless set."`
	LMTPAllow  string `name:"lmtp-allow" env:"LMTP_ALLOW" help:"Addresses and networks, by commas, that the mail server delivers reports from, if it is not on this machine: LMTP has no login."`
}

// inbox is where reports are taken in, and from whom. Without an address they are not.
type inbox struct {
	listen string
	allow  []netip.Prefix
}

func (s bounceSettings) check(p *problems) ticket.Bounces {
	if s.MailBounces == "" {
		return ticket.Bounces{}
	}
	b, err := ticket.ParseBounces(s.MailBounces)
	if err != nil {
		p.add("MAIL_BOUNCES", "%v, got %q", err, s.MailBounces)
	}
	return b
}

// check needs the address for reports, without which nobody can tell what one is about.
func (s inboxSettings) check(p *problems, bounces string) inbox {
	in := inbox{listen: s.LMTPListen}
	for one := range strings.SplitSeq(s.LMTPAllow, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		network, err := api.ParseNetwork(one)
		if err != nil {
			p.add("LMTP_ALLOW", "want addresses and networks such as 10.0.0.0/8, got %q", one)
			continue
		}
		in.allow = append(in.allow, network)
	}
	if in.listen == "" {
		return in
	}
	if bounces == "" {
		p.add("MAIL_BOUNCES", "is not set, and LMTP_LISTEN is: without the address for reports nothing that comes in is known")
	}
	host, _, err := net.SplitHostPort(in.listen)
	switch {
	case err != nil:
		p.add("LMTP_LISTEN", "want host:port, such as 127.0.0.1:2424, got %q", in.listen)
	case !isLoopback(host) && s.LMTPAllow == "":
		p.add("LMTP_LISTEN", "%s can be reached from elsewhere, and LMTP has no login: name the mail server in LMTP_ALLOW, or listen on 127.0.0.1", in.listen)
	}
	return in
}

// beside runs the work of a worker, and takes reports in beside it where that is set and the worker has the queue of
// mail. Each ends with the other.
func (in inbox) beside(ctx context.Context, d jobs.Deps, queues map[string]int, log *slog.Logger, work func(context.Context) error) error {
	if in.listen == "" || queues[jobs.Mail.Name] == 0 {
		return work(ctx)
	}
	server := mail.NewInbox(mail.InboxConfig{Listen: in.listen, Allow: in.allow, Reports: jobs.NewMailReports(d), Log: log})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return work(ctx) })
	return group.Wait()
}
