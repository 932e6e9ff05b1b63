package browser

import (
	"testing"

	"github.com/payaid/payaid/operator"
)

// deleteSelected deletes a job that was selected in the list, which takes two clicks.
func (s *site) deleteSelected(t *testing.T) {
	b := s.tab(t)
	s.deletesSelected(t, b, func() { b.accessible("the question") })
}

// deleteSelectedWithoutScripts does so by plain forms.
func (s *site) deleteSelectedWithoutScripts(t *testing.T) {
	b := s.tab(t)
	b.scripts(false)
	s.deletesSelected(t, b, func() {}) // axe is a script
}

func (s *site) deletesSelected(t *testing.T, b *tab, look func()) {
	org, own := s.organization(t)
	g := newGate(t)
	selected, other := submit(t, own, g.url), submit(t, own, g.url)
	eventually(t, patience, "the jobs fail", func() bool { return statusOf(t, own, selected) == "failed" && statusOf(t, own, other) == "failed" })
	b.signIn(adminKey)
	b.open("/admin/jobs?status=failed&organization_id=" + org)
	b.click(`main input[name=id][value="` + selected + `"]`)
	for _, act := range []string{"cancel", "delete"} {
		button := `document.querySelector(".bulk button[value=` + act + `]")`
		if asked[bool](b, button+`.checkVisibility()`) {
			t.Fatalf("one click on a button can %s what is selected", act)
		}
		b.click(`.bulk details:has(button[value=` + act + `]) > summary`)
		b.until("it asks whether to "+act, button+`.checkVisibility()`)
		if path := asked[string](b, `location.pathname`); path != "/admin/jobs" || statusOf(t, own, selected) != "failed" {
			t.Fatalf("one click was enough to %s, and led to %s", act, path)
		}
	}
	look()
	b.click(`.bulk details[open] button[value=delete]`)
	b.says("1 of 1 jobs deleted.")
	if err := own.Get(t.Context(), "/api/jobs/"+selected, nil, nil); !operator.IsCode(err, "not_found") {
		t.Errorf("the job that was selected: %v", err)
	}
	if status := statusOf(t, own, other); status != "failed" {
		t.Errorf("the job that was not selected is %s", status)
	}
	b.calm("what was selected")
}
