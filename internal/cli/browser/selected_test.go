package browser

import (
	"testing"

	"github.com/chromedp/chromedp"

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
	box := `document.querySelector("main input[name=id][value='` + selected + `']")`
	b.until("it is selected", box+`.checked || (`+box+`.click(), false)`) // also where the list is fetched anew meanwhile
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

// selectMeanwhile selects a job while the list is being fetched anew, and has it selected still.
func (s *site) selectMeanwhile(t *testing.T) {
	org, own := s.organization(t)
	g := newGate(t)
	id := submit(t, own, g.url)
	eventually(t, patience, "the job fails", func() bool { return statusOf(t, own, id) == "failed" })
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/jobs?organization_id=" + org)
	box := `document.querySelector("main input[name=id][value='` + id + `']")`
	b.do("select it when the answer is there", chromedp.Evaluate[chromedp.Void](`document.addEventListener("htmx:beforeOnLoad", () => { `+box+`.click(); window.came = true; }, {once: true}); void 0`))
	submit(t, own, g.url)
	b.until("the answer is there, and the box is checked", `window.came && document.querySelector("#live:not(.htmx-swapping):not(.htmx-settling)") !== null && remembered === null && `+box+`.checked`)
	b.calm("selected meanwhile")
}
