package cli

import (
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
)

type (
	// webhookRules say which receivers of webhooks may be named; who takes names and who sends goes by the same.
	webhookRules struct {
		WebhookAllowHTTP     string `name:"webhook-allow-http" env:"WEBHOOK_ALLOW_HTTP" default:"false" help:"true lets webhooks go to http:// too, where everybody on the way reads them. Set it for every process."`
		WebhookAllowNetworks string `name:"webhook-allow-networks" env:"WEBHOOK_ALLOW_NETWORKS" placeholder:"NETWORKS" help:"Networks and addresses, by commas, that webhooks may reach though they are not public, such as 10.20.0.0/16. Who may add a webhook reaches what listens there. Set it for every process."`
	}
	// webhookSettings are for whoever sends them.
	webhookSettings struct {
		webhookRules
		WebhookCAFile string `name:"webhook-ca-file" env:"WEBHOOK_CA_FILE" placeholder:"FILE" help:"Certificates (PEM) of those who vouch for receivers of webhooks, besides the system's."`
	}
)

func (s webhookRules) check(p *problems) webhook.Policy {
	policy := webhook.Policy{AllowHTTP: p.truth("WEBHOOK_ALLOW_HTTP", s.WebhookAllowHTTP)}
	for one := range strings.SplitSeq(s.WebhookAllowNetworks, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		network, err := api.ParseNetwork(one)
		if err != nil {
			p.add("WEBHOOK_ALLOW_NETWORKS", "want networks and addresses such as 10.20.0.0/16, got %q", one)
			continue
		}
		policy.Networks = append(policy.Networks, network)
	}
	return policy
}

// webhooks is how deliveries are sent.
type webhooks struct {
	policy webhook.Policy
	roots  *x509.CertPool // nil: the system's
}

func (s webhookSettings) check(p *problems) webhooks {
	return webhooks{policy: s.webhookRules.check(p), roots: p.furtherAuthorities("WEBHOOK_CA_FILE", s.WebhookCAFile)}
}

// furtherAuthorities adds to the system's, where those of authorities stand in their place.
func (p *problems) furtherAuthorities(name, path string) *x509.CertPool {
	if p.authorities(name, path) == nil {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		p.add(name, "%v", err)
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any
	}
	pool.AppendCertsFromPEM(pem)
	return pool
}

// delivering is what deliveries are made with, until it is closed.
func (w workerSetup) delivering(log *slog.Logger) (d jobs.Webhooks, done func(), err error) {
	w.webhooks.warn(log)
	limiter, err := newLimiter(time.Minute, w.redisURL, log)
	if err != nil {
		return d, nil, err
	}
	client := w.webhooks.client()
	d = jobs.Webhooks{Client: client, Limiter: limiter, Slots: w.queues[jobs.Webhook.Name]}
	return d, func() { client.Close(); _ = limiter.Close() }, nil
}

// client sends them, until it is closed.
func (w webhooks) client() *webhook.Client {
	return webhook.NewClient(webhook.Config{Policy: w.policy, Roots: w.roots, UserAgent: "PayAid-Webhooks/" + version()})
}

// warn says what the settings open.
func (w webhooks) warn(log *slog.Logger) {
	if !w.policy.AllowHTTP && len(w.policy.Networks) == 0 {
		return
	}
	networks := make([]string, len(w.policy.Networks))
	for i, n := range w.policy.Networks {
		networks[i] = n.String()
	}
	log.Warn("webhooks may go where they usually may not: whoever may add one reaches what listens there, and http is read on the way",
		"http", w.policy.AllowHTTP, "networks", networks)
}
