package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/internal/webhook"
)

type doctorCmd struct {
	operatorSettings
	RedisURL string `env:"REDIS_URL" secret:"" help:"Redis."`
	aiSettings
	aiLimitSettings
	mailSettings
	bounceSettings
	inboxSettings
	linkSettings
	backupSettings
	metricsSettings
	traceSettings
	webhookRules
	URL         string `name:"url" help:"The API as clients reach it, https://crm.example.com: its certificate, headers and limits are looked at. PUBLIC_URL, or the API of a running 'payaid up', unless set." placeholder:"URL"`
	NATSMonitor string `name:"nats-monitor" env:"NATS_MONITOR" help:"Monitoring address of NATS, http://host:8222, which tells whether every write is synced." placeholder:"URL"`
	NoModel     bool   `help:"Have no model say a word."`
	ProbeLimits bool   `help:"Ask an API on this machine until it refuses, from an address that nobody else has."`
	JSON        bool   `help:"As JSON."`
}

// Help implements kong.HelpProvider.
func (doctorCmd) Help() string {
	return "Looks at every part from where it is run, changes nothing, and ends with status 1 if something is broken. It can be run " +
		"at any time: it asks the API a few times, as a stranger, has models that are loaded say one word, logs in at the " +
		"mail server without a mail, and ends within a minute, whatever hangs."
}

// States of a finding.
const (
	fine   = "ok"
	uneasy = "warning"
	broken = "broken"
)

// A finding is what one look came to.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning or broken
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// doctor gathers findings.
type doctor struct{ findings []finding }

func (d *doctor) say(state, check, remedy, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, State: state, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

// examination is what the doctor was told, checked.
type examination struct {
	running
	data    string // folder of an `up`, "": none
	model   model
	limits  int // of AI jobs
	mail    mailServer
	bounces ticket.Bounces
	inbox   inbox
	rules   webhook.Policy
	links   string
	backups backups
	metrics string
	traces  string
	api     string // "": nobody said where it is
	monitor string
	word    bool // models say one
	burst   bool // the API is asked until it refuses
}

// Run examines everything.
func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	x, err := c.check(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	var d doctor
	d.examine(ctx,
		exam{"postgres", 30 * time.Second, func(ctx context.Context, d *doctor) { d.database(ctx, a, x) }},
		exam{"nats", 6 * time.Second, func(ctx context.Context, d *doctor) { d.broker(ctx, a, x) }},
		exam{"redis", 6 * time.Second, func(ctx context.Context, d *doctor) { d.redis(ctx, x.RedisURL) }},
		exam{"ai", 20 * time.Second, func(ctx context.Context, d *doctor) {
			d.model(ctx, x.model)
			d.aiSettings(c.aiSettings, x.model, x.limits)
			if x.word {
				d.words(ctx, x.model.chain)
			}
			d.groq(ctx, x.model.chain)
		}},
		exam{"mail", 15 * time.Second, func(ctx context.Context, d *doctor) {
			d.mail(ctx, x.mail.orSink(x.SinkPort))
			d.links(x.mail, x.links)
			d.reports(ctx, x.bounces, x.inbox)
		}},
		exam{"webhook receivers", time.Second, func(_ context.Context, d *doctor) { d.receivers(x.rules, x.api, x.links) }},
		exam{"api", 20 * time.Second, func(ctx context.Context, d *doctor) { d.edge(ctx, edge{url: x.api, burst: x.burst}) }},
		exam{"backup folder", 30 * time.Second, func(ctx context.Context, d *doctor) { d.keeper(ctx, x) }},
		exam{"metrics", 6 * time.Second, func(ctx context.Context, d *doctor) { d.watchers(ctx, x) }},
		exam{"machine", 6 * time.Second, func(_ context.Context, d *doctor) { d.machine(x) }},
		exam{"environment", time.Second, func(_ context.Context, d *doctor) { d.environment(os.Environ()) }},
	)
	return d.report(a, c.JSON)
}

func (c *doctorCmd) check(a *app) (examination, error) {
	p := a.problems()
	x := examination{model: c.aiSettings.check(&p, rulesOff), limits: len(c.aiLimitSettings.check(&p)), mail: c.mailSettings.check(&p),
		bounces: c.bounceSettings.check(&p), inbox: c.inboxSettings.check(&p, c.MailBounces), links: c.linkSettings.check(&p),
		rules:   c.webhookRules.check(&p),
		backups: c.backupSettings.check(&p), metrics: c.metricsSettings.check(&p, ""), traces: c.traceSettings.check(&p).URL,
		monitor: c.NATSMonitor, word: !c.NoModel, burst: c.ProbeLimits}
	for name, value := range map[string]string{"--url": c.URL, "NATS_MONITOR": c.NATSMonitor} {
		if value != "" {
			p.url(name, value, "https", "http")
		}
	}
	if err := p.err(); err != nil {
		return x, err
	}
	r, err := c.find(a)
	if err != nil {
		return x, err
	}
	x.running = r
	x.RedisURL = cmp.Or(c.RedisURL, r.RedisURL)
	x.metrics = cmp.Or(x.metrics, r.Metrics)
	x.api = cmp.Or(c.URL, r.API, x.links)
	if r.PID != 0 {
		x.data = cmp.Or(c.Data, defaultData(a.lookup))
		x.backups = x.backups.in(filepath.Join(x.data, "backups"))
	}
	return x, nil
}

func (d *doctor) report(a *app, asJSON bool) error {
	sick := 0
	for _, f := range d.findings {
		if f.State == broken {
			sick++
		}
		if asJSON {
			continue
		}
		fmt.Fprintf(a.stdout, "%-8s %-22s %s\n", f.State, f.Check, f.Detail)
		if f.Remedy != "" && f.State != fine {
			fmt.Fprintf(a.stdout, "%-8s %-22s → %s\n", "", "", f.Remedy)
		}
	}
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"healthy": sick == 0, "findings": d.findings}); err != nil {
			return err
		}
	}
	if sick > 0 {
		return fmt.Errorf("%d of %d checks found something broken", sick, len(d.findings))
	}
	return nil
}
