package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/likeness"
	"github.com/payaid/payaid/internal/sampledata"
)

const (
	// adminReads is how often each page is read for a percentile.
	adminReads = 60
	// adminWarm is how often it is read before: the first reads come from the disk, and make plans.
	adminWarm  = 3
	adminBound = 100 * time.Millisecond
)

// admin measures every page of the admin among many jobs that have ended, one reader, with workers beside that have
// sampled what they sample.
func (b *bench) admin(ctx context.Context) error {
	database, err := b.database(ctx, "bench_admin")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.fillJobs(ctx, database); err != nil {
		return err
	}
	fmt.Fprintf(b.stdout, "%d jobs that have ended were made in %s\n", b.OldJobs, time.Since(began).Round(time.Second))
	s, err := b.startOn(ctx, database, everything)
	if err != nil {
		return err
	}
	return errors.Join(b.adminPages(ctx, s), s.stop())
}

func (b *bench) fillJobs(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sum, err := sampledata.Fill(ctx, conn, sampledata.Options{Organizations: 40, Contacts: 50, Deals: 50, Invoices: 50, Seed: 8})
	if err != nil {
		return err
	}
	o := sampledata.JobOptions{Jobs: b.OldJobs, Seed: 8, Fingerprint: likeness.Of}
	for _, made := range sum.Organizations {
		o.Organizations = append(o.Organizations, made.ID)
	}
	if err := sampledata.FillJobs(ctx, conn, o); err != nil {
		return err
	}
	return fillEffectsOf(ctx, conn, database)
}

// A browser reads pages as somebody who has signed in.
type browser struct {
	base   string
	client *http.Client
}

func signIn(ctx context.Context, base, key string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	w := &browser{base: base, client: &http.Client{Jar: jar}}
	form := strings.NewReader(url.Values{"key": {key}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/admin/login", form)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign in: %s", response.Status)
	}
	return w, nil
}

// read reads a page to its end and says how long that took.
func (w *browser) read(ctx context.Context, path string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	response, err := w.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("read %s: %s", path, response.Status)
	}
	return time.Since(began), nil
}

func (b *bench) adminPages(ctx context.Context, s *stack) error {
	w, err := signIn(ctx, s.client.base, benchAdminKey)
	if err != nil {
		return err
	}
	paths, err := adminPaths(ctx, s.url)
	if err != nil {
		return err
	}
	worst, slow := "", time.Duration(0)
	missed := 0
	for _, path := range paths {
		var times latencies
		for i := range adminWarm + adminReads {
			took, err := w.read(ctx, path)
			if err != nil {
				return err
			}
			if i >= adminWarm {
				times.add(took)
			}
		}
		p95 := times.at(0.95)
		fmt.Fprintf(b.stdout, "  %-90s %s\n", path, times.p95())
		if p95 > slow {
			worst, slow = path, p95
		}
		if p95 > adminBound {
			missed++
		}
	}
	b.add(row{what: fmt.Sprintf("%d pages of the admin among %d ended jobs", len(paths), b.OldJobs),
		value: fmt.Sprintf("slowest p95 %.1f ms", millis(slow)), against: worst, target: "p95 < 100 ms for each", verdict: met(missed == 0)})
	return nil
}

const someOfEach = `
SELECT (SELECT id::text FROM jobs WHERE error IS NOT NULL ORDER BY jobs.id DESC LIMIT 1),
       (SELECT id::text FROM jobs WHERE status = 'succeeded' LIMIT 1),
       (SELECT id::text FROM river_job WHERE NOT (args ? 'job_id') LIMIT 1),
       (SELECT fingerprint FROM job_attempts WHERE fingerprint IS NOT NULL ORDER BY job_attempts.id LIMIT 1),
       (SELECT request_id FROM jobs WHERE request_id IS NOT NULL LIMIT 1),
       (SELECT organization_id::text FROM jobs ORDER BY organization_id DESC LIMIT 1),
       (SELECT event_id::text FROM outbox LIMIT 1),
       (SELECT id::text FROM mail_messages ORDER BY mail_messages.id DESC LIMIT 1),
       (SELECT address FROM mail_recipients LIMIT 1),
       (SELECT id::text FROM webhook_deliveries ORDER BY webhook_deliveries.id DESC LIMIT 1),
       (SELECT organization_id || '/' || endpoint_id FROM webhook_deliveries ORDER BY webhook_deliveries.id DESC LIMIT 1),
       (SELECT id::text FROM bulk_actions LIMIT 1)`

// adminPaths are all pages, and the lists in the ways that they are asked.
func adminPaths(ctx context.Context, database string) ([]string, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(ctx)
	var failed, succeeded, internal, fingerprint, request, organization, event, mail, address, delivery, endpoint, bulk string
	if err := conn.QueryRow(ctx, someOfEach).Scan(&failed, &succeeded, &internal, &fingerprint, &request, &organization, &event, &mail, &address,
		&delivery, &endpoint, &bulk); err != nil {
		return nil, fmt.Errorf("choose what is shown: %w", err)
	}
	middle := url.QueryEscape(time.Now().Add(-10 * time.Hour).UTC().Format(time.RFC3339))
	paths := []string{
		"/admin/jobs", "/admin/jobs?routine=show", "/admin/jobs?status=failed", "/admin/jobs?status=succeeded", "/admin/jobs?status=cancelled",
		"/admin/jobs?status=running", "/admin/jobs?status=queued", "/admin/jobs?status=waiting", "/admin/jobs?status=scheduled",
		"/admin/jobs?kind=ai.lead_score", "/admin/jobs?kind=cache.invalidate&routine=show", "/admin/jobs?queue=mail", "/admin/jobs?queue=webhook&routine=show",
		"/admin/jobs?kind=mail.send&status=failed", "/admin/jobs?kind=mail.send&status=cancelled", "/admin/jobs?sort=internal&status=failed",
		"/admin/jobs?organization_id=" + organization, "/admin/jobs?status=failed&organization_id=" + organization,
		"/admin/jobs?kind=mail.send&organization_id=" + organization, "/admin/jobs?created_before=" + middle, "/admin/jobs?created_before=" + middle + "&status=failed",
		"/admin/jobs?error=refused+by+policy", "/admin/jobs?error=case+1", "/admin/jobs?fingerprint=" + fingerprint, "/admin/jobs?request_id=" + request,
		"/admin/jobs/" + failed, "/admin/jobs/" + succeeded, "/admin/jobs/" + internal, "/admin/jobs/new",
		"/admin/chain/" + failed, "/admin/chain/" + request, "/admin/chain/" + internal, "/admin/chain/" + event, "/admin/chain/" + mail, "/admin/chain/" + delivery,
		"/admin/failures", "/admin/failures?window=7d", "/admin/failures/" + fingerprint, "/admin/bulk", "/admin/bulk/" + bulk,
		"/admin/queues", "/admin/queues/mail", "/admin/queues/mail?range=7d", "/admin/workers", "/admin/kinds", "/admin/kinds/mail.send", "/admin/schedules",
		"/admin/events", "/admin/events/" + event, "/admin/events/dead", "/admin/webhooks", "/admin/webhooks/" + endpoint,
		"/admin/webhooks/deliveries", "/admin/webhooks/deliveries?status=failed", "/admin/webhooks/deliveries?status=succeeded", "/admin/webhooks/deliveries?status=pending",
		"/admin/webhooks/deliveries?organization_id=" + organization, "/admin/webhooks/deliveries?created_before=" + middle, "/admin/webhooks/deliveries/" + delivery,
		"/admin/ai", "/admin/ai/calls", "/admin/ai/calls?provider=groq", "/admin/ai/calls?organization=" + organization, "/admin/mail", "/admin/mail/" + mail,
		"/admin/mail?state=failed", "/admin/mail?state=suppressed", "/admin/mail?state=cancelled", "/admin/mail?state=accepted", "/admin/mail?state=unknown",
		"/admin/mail?organization=" + organization, "/admin/mail?recipient=" + url.QueryEscape(address), "/admin/mail?recipient=%40example.in",
		"/admin/mail?template=invoice", "/admin/mail?created_before=" + middle,
		"/admin/mail/suppressions", "/admin/mail/templates", "/admin/backups", "/admin/indexes", "/admin/indexes?index=idx_jobs_kind", "/admin/system",
		"/admin/audit", "/admin/sessions", "/admin/settings",
	}
	return paths, nil
}
