package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/sampledata"
)

// demoKey is the file under the data folder that keeps the key of the demo's organization, so that the next
// demo finds it again with all that is in it.
const demoKey = "demo-key"

// demoSetup is what the demo works with.
type demoSetup struct {
	admin       client
	model       bool // one can be reached
	rules       bool // answer where none can
	sink        bool // catches the mail
	receiver    *demoReceiver
	databaseURL string
	data        string // folder
}

type demoOrganization struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	APIKey struct {
		Key string `json:"key"`
	} `json:"api_key"`
}

// demoOrganization finds the organization of an earlier demo, or makes one and fills it.
func (a *app) demoOrganization(ctx context.Context, s demoSetup) (demoOrganization, error) {
	var o demoOrganization
	path := filepath.Join(s.data, demoKey)
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return o, fmt.Errorf("read the demo's key: %w", err)
	}
	if key := strings.TrimSpace(string(kept)); key != "" {
		o.APIKey.Key = key
		err := client{base: s.admin.base, key: key}.do(ctx, http.MethodGet, "/api/organization", nil, &o)
		var refused *problemView
		if err == nil || !errors.As(err, &refused) || refused.Code != "unauthorized" {
			return o, err
		}
	}
	err = s.admin.do(ctx, http.MethodPost, "/api/organizations",
		map[string]any{"name": "Sharma Traders", "state": "Karnataka", "gstin": "29AAGCS1042N1Z3", "plan": "pro"}, &o)
	if err != nil {
		return o, err
	}
	if err := a.fillDemo(ctx, s.databaseURL, o.ID); err != nil {
		return o, err
	}
	if err := os.WriteFile(path, []byte(o.APIKey.Key+"\n"), 0o600); err != nil {
		return o, fmt.Errorf("keep the demo's key: %w", err)
	}
	return o, nil
}

func (a *app) fillDemo(ctx context.Context, databaseURL, organization string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	began := time.Now()
	sum, err := sampledata.Fill(ctx, conn, sampledata.Options{Into: organization, Contacts: 300, Deals: 450, Invoices: 400, Seed: 1})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Demo: made sample data: %d contacts, %d deals, %d invoices, %d payments, in %s\n",
		sum.Contacts, sum.Deals, sum.Invoices, sum.Payments, ms(time.Since(began)))
	return nil
}
