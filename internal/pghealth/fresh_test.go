package pghealth

import (
	"slices"
	"testing"
)

// What our own migrations make has no fault but those that are there on purpose.
func TestOurSchemaIsFaultless(t *testing.T) {
	onEach(t, func(s *site) {
		s.sample()
		s.sample()
		r := s.examine()
		if got := r.list(); len(got) > 0 {
			s.Errorf("found %q", got)
		}
		var kept []string
		for _, f := range r.Findings {
			kept = append(kept, f.Kind+" "+f.Index)
			if f.Severity != Info {
				s.Errorf("%s of %s is kept on purpose and %s", f.Kind, f.Index, f.Severity)
			}
		}
		slices.Sort(kept)
		want := []string{"redundant_prefix idx_contacts_org_id", "redundant_prefix idx_contacts_org_status",
			"redundant_prefix idx_deals_org_id", "redundant_prefix idx_deals_org_stage",
			"redundant_prefix idx_invoices_org_id", "redundant_prefix idx_invoices_org_status"}
		if !slices.Equal(kept, want) {
			s.Errorf("kept on purpose are %q, want %q", kept, want)
		}
		if r.Window.Samples != 2 || r.Window.From == nil || r.Server.StatisticsSince == nil {
			s.Errorf("window %+v, statistics since %v", r.Window, r.Server.StatisticsSince)
		}
	})
}
