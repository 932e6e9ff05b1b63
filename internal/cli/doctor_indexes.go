package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/pghealth"
	"github.com/payaid/payaid/internal/store"
)

// guideIndexes are those that the lists rest on, by name.
var guideIndexes = []struct{ name, on string }{
	{"idx_contacts_org_id", "contacts (organization_id)"}, {"idx_invoices_org_id", "invoices (organization_id)"},
	{"idx_deals_org_id", "deals (organization_id)"}, {"idx_contacts_org_status", "contacts (organization_id, status)"},
	{"idx_deals_org_stage", "deals (organization_id, stage)"}, {"idx_invoices_org_status", "invoices (organization_id, status)"},
}

// indexes looks whether those are there that must be, and what is wrong with any.
func (d *doctor) indexes(ctx context.Context, db *store.DB) {
	var r *pghealth.Report
	err := db.Tx(ctx, func(tx pgx.Tx) (err error) {
		r, err = pghealth.Examine(ctx, tx, pghealth.Options{})
		return err
	})
	if err != nil {
		d.say(uneasy, "indexes", "look at the server's log", "%v", err)
		return
	}
	d.guideIndexes(r)
	var grave []string
	var first *pghealth.Finding
	for _, f := range r.Findings {
		if f.Kept != "" || f.Severity == pghealth.Info || f.Kind == pghealth.Invalid { // the schema's check names those
			continue
		}
		if first == nil {
			first = f
		}
		if name := f.Kind + " " + f.Table + strings.TrimRight("."+f.Index, "."); len(grave) < 5 {
			grave = append(grave, name)
		}
	}
	if first == nil {
		d.say(fine, "index health", "", "nothing is wrong with %d indexes", len(r.Indexes))
		return
	}
	remedy := "see GET /api/system/index-health"
	if len(first.Mend) > 0 {
		remedy = first.Mend[0] + "; for the rest " + remedy
	}
	d.say(uneasy, "index health", remedy, "worth a look: %s", strings.Join(grave, ", "))
}

func (d *doctor) guideIndexes(r *pghealth.Report) {
	var missing []string
	for _, want := range guideIndexes {
		at := slices.IndexFunc(r.Indexes, func(i *pghealth.Index) bool { return i.Name == want.name })
		switch {
		case at < 0:
			missing = append(missing, want.name)
			d.say(broken, "index "+want.name, "CREATE INDEX CONCURRENTLY "+want.name+" ON "+want.on, "it is not there: lists are read from end to end")
		case !r.Indexes[at].Valid:
			missing = append(missing, want.name)
			d.say(broken, "index "+want.name, "REINDEX INDEX CONCURRENTLY "+want.name, "it is not valid: it costs every write and serves no query")
		}
	}
	if len(missing) == 0 {
		d.say(fine, "indexes", "", "the %d that lists rest on are there", len(guideIndexes))
	}
}
