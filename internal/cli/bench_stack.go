package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/inference"
)

// parts says what of the product runs during a measurement.
type parts int

const (
	apiAlone parts = iota
	everything
)

const benchAdminKey = "the-admin-key-of-a-measurement-run"

// stack is the product on one database.
type stack struct {
	client client
	url    string
	stop   func() error
}

// stackSetup is what the processes of a stack are started with.
type stackSetup struct {
	api    apiSetup
	worker workerSetup
}

// start runs the product as `up` does and makes an organization. Change makes it another product.
func (b *bench) start(ctx context.Context, database string, what parts, change ...func(*stackSetup)) (*stack, error) {
	url, err := b.database(ctx, database)
	if err != nil {
		return nil, err
	}
	return b.startOn(ctx, url, what, change...)
}

// startOn is start on a database that is there.
func (b *bench) startOn(ctx context.Context, url string, what parts, change ...func(*stackSetup)) (*stack, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := pool{url: url, most: 30, timeout: 30 * time.Second}
	setup := stackSetup{
		api: apiSetup{pool: p, natsURL: b.natsURL, adminKey: benchAdminKey},
		worker: workerSetup{pool: p, natsURL: b.natsURL, queues: map[string]int{benchQueue.Name: benchQueue.Workers},
			model: model{chain: inference.Config{}, parallel: 1}},
	}
	for _, change := range change {
		change(&setup)
	}
	running, cancel := context.WithCancel(ctx)
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return ended(b.runAPI(running, setup.api, listener, b.log)) })
	if what == everything {
		group.Go(func() error { return ended(b.runRelay(running, relaySetup{pool: p, natsURL: b.natsURL}, b.log)) })
		group.Go(func() error { return ended(b.runWorker(running, setup.worker, b.log)) })
	}
	s := &stack{url: url, client: client{base: "http://" + listener.Addr().String(), key: benchAdminKey},
		stop: func() error { cancel(); return group.Wait() }}
	if err := s.prepare(ctx, what); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// prepare makes an organization, and waits until a first job has gone all the way.
func (s *stack) prepare(ctx context.Context, what parts) error {
	if err := s.client.waitReady(ctx, 30*time.Second); err != nil {
		return err
	}
	var organization struct {
		APIKey struct {
			Key string `json:"key"`
		} `json:"api_key"`
	}
	err := s.client.do(ctx, http.MethodPost, "/api/organizations", map[string]any{"name": "Bench", "state": "Goa"}, &organization)
	if err != nil {
		return err
	}
	s.client.key = organization.APIKey.Key
	if what == apiAlone {
		return nil
	}
	j, err := s.client.submit(ctx, "bench.noop", map[string]any{}, nil)
	if err != nil {
		return err
	}
	if j, err = s.client.await(ctx, j.ID, time.Minute); err == nil && j.Status != "succeeded" {
		err = fmt.Errorf("the first job is %s", j.Status)
	}
	return err
}
