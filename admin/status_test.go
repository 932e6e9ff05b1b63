package admin

import (
	"net/http"
	"testing"
)

// A page without alerts says that all is well; one that can't know doesn't.
func TestPagesSayThatNobodyKnowsWhetherAllIsWell(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	tx, err := g.system.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE dead_events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	g.admin().get("/admin/sessions").wants(http.StatusOK, "be found out now")
}
