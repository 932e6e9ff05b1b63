package api

import (
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminWebhooksInput struct {
	PageQuery
	OrganizationID string `query:"organization_id" format:"uuid"`
	Status         string `query:"status" enum:"enabled,disabled"`
}

type adminWebhooksOutput struct{ Body operator.WebhookEndpointList }

// listEndpoints lists the endpoints of webhooks of all organizations.
func (s *Server) listEndpoints(ctx context.Context, in *adminWebhooksInput) (*adminWebhooksOutput, error) {
	organizationID, ok := canonicalID(in.OrganizationID)
	if in.OrganizationID != "" && !ok {
		return nil, invalid(Fault{"/query/organization_id", "must be the id of an organization"})
	}
	filters := []string{"endpoints", organizationID, in.Status}
	behind, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	var rows []store.AdminEndpoint
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AdminEndpoints(ctx, tx, organizationID, in.Status, behind, in.Limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.WebhookEndpoint, len(rows))
	for i, e := range rows {
		list[i] = endpointOf(e)
	}
	return &adminWebhooksOutput{operator.WebhookEndpointList(pageOf(list, in.Limit, func(e operator.WebhookEndpoint) string { return e.ID }, filters...))}, nil
}

func endpointOf(e store.AdminEndpoint) operator.WebhookEndpoint {
	return operator.WebhookEndpoint{ID: e.ID, OrganizationID: e.OrganizationID, Receiver: receiverOf(e.URL), Events: e.Events, Description: e.Description,
		Headers: slices.Sorted(maps.Keys(e.Headers)), RateLimit: e.RateLimit, Status: e.Status, DisabledCode: e.DisabledCode,
		DisabledReason: e.DisabledReason, DisabledAt: utc(e.DisabledAt), Failures: e.Failures, FailingSince: utc(e.FailingSince),
		PausedUntil: utc(e.PausedUntil), LastSuccessAt: utc(e.LastSuccessAt), LastFailureAt: utc(e.LastFailureAt), Waiting: e.Waiting,
		Recent:  operator.RecentTries{Succeeded: e.Succeeded, Failed: e.Failed, Pending: e.Pending},
		Version: e.Version, CreatedAt: e.CreatedAt.UTC()}
}

// receiverOf is a URL without its path and query: those of chat services are secrets by which anybody may post.
func receiverOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "a receiver"
	}
	if u.Path == "" || u.Path == "/" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/…"
}

type adminWebhookInput struct {
	OrganizationID string `path:"organization_id"`
	ID             string `path:"id"`
}

func (in *adminWebhookInput) parse() (organizationID, id string, err error) {
	if organizationID, err = parseID(in.OrganizationID); err != nil {
		return "", "", err
	}
	id, err = parseID(in.ID)
	return organizationID, id, err
}

type adminWebhookOutput struct{ Body operator.WebhookEndpoint }

// getEndpoint shows one endpoint.
func (s *Server) getEndpoint(ctx context.Context, in *adminWebhookInput) (*adminWebhookOutput, error) {
	organizationID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	var e store.AdminEndpoint
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		e, err = store.AdminEndpointOf(ctx, tx, organizationID, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &adminWebhookOutput{endpointOf(e)}, nil
}

// enableEndpoint has an endpoint hear of what happens again, with a clean record.
func (s *Server) enableEndpoint(ctx context.Context, in *adminWebhookInput) (*adminWebhookOutput, error) {
	return s.switchEndpoint(ctx, in, "webhook.enable", store.WebhookEnabled)
}

// disableEndpoint ends what is pending for an endpoint, and tells it of nothing any more.
func (s *Server) disableEndpoint(ctx context.Context, in *adminWebhookInput) (*adminWebhookOutput, error) {
	return s.switchEndpoint(ctx, in, "webhook.disable", store.WebhookDisabled)
}

func (s *Server) switchEndpoint(ctx context.Context, in *adminWebhookInput, action, status string) (*adminWebhookOutput, error) {
	organizationID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	var shown store.AdminEndpoint
	var facts []events.Fact
	a := act{Action: action, Target: "webhook", ID: id, OrganizationID: organizationID}
	err = s.act(ctx, a, func(tx pgx.Tx, note *act) error {
		e, err := store.LockWebhookEndpoint(ctx, tx, organizationID, id)
		if err != nil {
			return err
		}
		note.Before = endpointNote(e)
		if facts, err = s.turn(ctx, tx, &e, status); err != nil {
			return err
		}
		note.After = endpointNote(e)
		if err := s.stateFor(ctx, tx, organizationID, facts); err != nil {
			return err
		}
		shown, err = store.AdminEndpointOf(ctx, tx, organizationID, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.announce(ctx, facts)
	return &adminWebhookOutput{endpointOf(shown)}, nil
}

func endpointNote(e store.WebhookEndpoint) map[string]any {
	return map[string]any{"status": e.Status, "disabled_code": e.DisabledCode, "failures": e.Failures, "version": e.Version}
}

// turn enables or disables an endpoint, which its owner's PATCH does in the same way.
func (s *Server) turn(ctx context.Context, tx pgx.Tx, e *store.WebhookEndpoint, status string) ([]events.Fact, error) {
	before := *e
	changed, err := webhookPatch{Status: given(&status)}.apply(e, s.Webhooks)
	if err != nil || !changed.any {
		return nil, err
	}
	if changed.cleanRecord {
		if err := store.ResetWebhookLane(ctx, tx, e.OrganizationID, e.ID); err != nil {
			return nil, err
		}
	}
	if changed.disabled {
		reason := "it was disabled by the operator of the installation"
		e.DisabledReason = &reason
	}
	if *e, err = store.UpdateWebhookEndpoint(ctx, tx, *e); err != nil || !changed.disabled {
		return nil, err
	}
	if err := store.EndDeliveries(ctx, tx, *e, store.EndpointDisabled, "The endpoint was disabled before this was delivered."); err != nil {
		return nil, err
	}
	return []events.Fact{events.WebhookDisabled{EndpointID: e.ID, Code: store.WebhookDisabledByOwner,
		Failures: before.Failures, FailingSince: utc(before.FailingSince), Version: e.Version}}, nil
}

// stateFor appends facts of another's than the caller's organization.
func (s *Server) stateFor(ctx context.Context, tx pgx.Tx, organizationID string, facts []events.Fact) error {
	origin := exchangeOf(ctx).origin()
	origin.OrganizationID = organizationID
	return outbox.Append(ctx, tx, origin, facts...)
}

type adminReplayInput struct {
	OrganizationID string `path:"organization_id"`
	ID             string `path:"id"`
	Body           operator.WebhookReplay
}

// replayEndpoint delivers again what failed since a time.
func (s *Server) replayEndpoint(ctx context.Context, in *adminReplayInput) (*struct{}, error) {
	organizationID, id, err := (&adminWebhookInput{in.OrganizationID, in.ID}).parse()
	if err != nil {
		return nil, err
	}
	var asked replayWebhookInput
	asked.Body.Since, asked.Body.Missed = in.Body.Since, in.Body.Missed
	view, err := asked.check(id, exchangeOf(ctx).began)
	if err != nil {
		return nil, err
	}
	var facts []events.Fact
	err = s.act(ctx, act{Action: "webhook.replay", Target: "webhook", ID: id, OrganizationID: organizationID}, func(tx pgx.Tx, note *act) error {
		e, err := store.LockWebhookEndpoint(ctx, tx, organizationID, id)
		if err == nil && e.Status == store.WebhookDisabled {
			err = disabledWebhook()
		}
		if err != nil {
			return err
		}
		note.After = map[string]any{"since": view.Since, "until": view.Until, "missed": view.Missed}
		facts = []events.Fact{events.WebhookReplayRequested{EndpointID: id, Since: view.Since, Until: view.Until, Failed: true, Missed: view.Missed, Version: e.Version}}
		return s.stateFor(ctx, tx, organizationID, facts)
	})
	if err == nil {
		s.announce(ctx, facts)
	}
	return nil, err
}
