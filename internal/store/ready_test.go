package store_test

import (
	"errors"
	"testing"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

// A database that another program migrated, and not as far as this one needs, is not ready for it.
func TestReadyNeedsTheWholeSchema(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db := open(t, url, store.App)
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name := ""; name != "00064_admin_views.sql"; {
		var err error
		if name, err = migrations.Down(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Ready(t.Context()); !errors.Is(err, store.ErrNoSchema) {
		t.Errorf("got %v, want ErrNoSchema", err)
	}
}
