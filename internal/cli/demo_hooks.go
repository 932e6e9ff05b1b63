package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demoHooks shows webhooks: a receiver of the demo's own hears of what the other steps do.
type demoHooks struct {
	api      client
	receiver *demoReceiver
	endpoint string // id
}

// demoEndpoint is the description by which the next demo finds the endpoint of an earlier one.
const demoEndpoint = "The receiver of payaid up --demo"

// demoTold are types of what the demo makes happen.
var demoTold = []string{"contact.created", "deal.created", "deal.won", "invoice.created", "invoice.sent", "invoice.paid"}

// subscribe makes an endpoint, or gives the one of an earlier demo this one's address and a new secret.
func (d *demoHooks) subscribe(ctx context.Context) (string, error) {
	var list struct {
		Data []struct {
			ID          string  `json:"id"`
			Description *string `json:"description"`
		} `json:"data"`
	}
	if err := d.api.do(ctx, http.MethodGet, "/api/webhooks?limit=100", nil, &list); err != nil {
		return "", err
	}
	for _, e := range list.Data {
		if e.Description != nil && *e.Description == demoEndpoint {
			d.endpoint = e.ID
		}
	}
	url, again := d.receiver.url(demoHooksPath), d.endpoint != ""
	var made struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	var err error
	if again {
		err = d.api.do(ctx, http.MethodPost, "/api/webhooks/"+d.endpoint+"/rotate", map[string]any{"revoke_previous": true}, &made)
		d.receiver.trust(demoHooksPath, made.Secret)
		if err == nil {
			err = d.api.do(ctx, http.MethodPatch, "/api/webhooks/"+d.endpoint, map[string]any{"url": url, "status": "enabled"}, nil)
		}
	} else {
		err = d.api.do(ctx, http.MethodPost, "/api/webhooks", map[string]any{"url": url,
			"events": []string{"contact.*", "deal.*", "invoice.*"}, "description": demoEndpoint}, &made)
		d.endpoint = made.ID
		d.receiver.trust(demoHooksPath, made.Secret)
	}
	if err != nil {
		return "", err
	}
	if again {
		return "enabled again with a new secret: " + url, nil
	}
	return "contact.*, deal.*, invoice.* to " + url, nil
}

// listen waits until the receiver has heard of what was done, and holds that against the list of deliveries.
func (d *demoHooks) listen(ctx context.Context) (string, error) {
	heard, err := d.await(ctx, demoHooksPath, func(heard []demoHeard) bool {
		return !slices.ContainsFunc(demoTold, func(kind string) bool {
			return !slices.ContainsFunc(heard, func(h demoHeard) bool { return h.Type == kind })
		})
	})
	if err != nil {
		return "", err
	}
	var types []string
	for _, h := range heard {
		if !slices.Contains(types, h.Type) {
			types = append(types, h.Type)
		}
	}
	slices.Sort(types)
	if err := d.delivered(ctx, heard); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d deliveries, each signature verified: %s", len(heard), strings.Join(types, ", ")), nil
}

// delivered wants every event that was heard in the list of deliveries, as succeeded.
func (d *demoHooks) delivered(ctx context.Context, heard []demoHeard) error {
	// What the receiver has taken is written down a moment later.
	return d.until(ctx, func() (bool, error) {
		var list struct {
			Data []struct {
				EventID string `json:"event_id"`
			} `json:"data"`
		}
		err := d.api.do(ctx, http.MethodGet, "/api/webhooks/"+d.endpoint+"/deliveries?status=succeeded&limit=100", nil, &list)
		if err != nil {
			return false, err
		}
		known := make(map[string]bool)
		for _, one := range list.Data {
			known[one.EventID] = true
		}
		return !slices.ContainsFunc(heard, func(h demoHeard) bool { return !known[h.ID] }), nil
	})
}

// callBack submits a job that calls back, and cancels it, as that end needs no model.
func (d *demoHooks) callBack(ctx context.Context) (string, error) {
	var signing struct {
		Secret string `json:"secret"`
	}
	if err := d.api.do(ctx, http.MethodGet, "/api/webhooks/callbacks", nil, &signing); err != nil {
		return "", err
	}
	d.receiver.trust(demoCallbacksPath, signing.Secret)
	j, err := d.api.submit(ctx, "ai.completion", map[string]any{"prompt": "This will not be answered."}, map[string]any{
		"callback_url": d.receiver.url(demoCallbacksPath), "run_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	if err != nil {
		return "", err
	}
	if err := d.api.do(ctx, http.MethodPost, "/api/jobs/"+j.ID+"/cancel", nil, nil); err != nil {
		return "", err
	}
	began := time.Now()
	var came demoHeard
	_, err = d.await(ctx, demoCallbacksPath, func(heard []demoHeard) bool {
		i := slices.IndexFunc(heard, func(h demoHeard) bool { return h.Subject == j.ID })
		if i >= 0 {
			came = heard[i]
		}
		return i >= 0
	})
	return fmt.Sprintf("%s %s later, signature verified", came.Type, ms(time.Since(began))), err
}

// end disables the endpoint, as its receiver ends with the demo. What was delivered can still be looked at.
func (d *demoHooks) end(ctx context.Context) (string, error) {
	if d.endpoint == "" {
		return "", errors.New("there is none")
	}
	err := d.api.do(ctx, http.MethodPatch, "/api/webhooks/"+d.endpoint, map[string]any{"status": "disabled"}, nil)
	return "disabled, as the demo's receiver ends with it", err
}

// await waits until enough has come to a path.
func (d *demoHooks) await(ctx context.Context, path string, enough func([]demoHeard) bool) ([]demoHeard, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		heard, changed, err := d.receiver.news(path)
		if err != nil || enough(heard) {
			return heard, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("only %d deliveries have come", len(heard))
		case <-changed:
		}
	}
}

func (d *demoHooks) until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("what was delivered isn't in the list of deliveries")
		case <-tick.C:
		}
	}
}
