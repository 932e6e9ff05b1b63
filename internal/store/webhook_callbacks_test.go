package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// numbered makes secrets that can be told apart.
func numbered(n *atomic.Int32) func() string {
	return func() string { return "whsec_" + strings.Repeat(fmt.Sprintf("%04d", n.Add(1)), 11) }
}

// Whoever needs the secret first makes it, and all the others get that one: a request, and two deliveries.
func TestCallbackSecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	app, system := open(t, url, store.App), open(t, url, store.System)
	var n atomic.Int32
	got := make([]store.CallbackSecret, 12)
	errs := make([]error, len(got))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if i%2 == 0 {
				got[i], errs[i] = app.CallbackSecret(t.Context(), organization, numbered(&n))
			} else {
				got[i], errs[i] = store.CallbackSecretOf(t.Context(), system.Pool(), organization, numbered(&n))
			}
		})
	}
	wg.Wait()
	for i, s := range got {
		if errs[i] != nil || s.Secret == "" || s.Secret != got[0].Secret || s.Previous != nil {
			t.Errorf("%d got %+v, %v; the first got %+v", i, s, errs[i], got[0])
		}
	}
	other, err := app.CallbackSecret(t.Context(), "0197aaaa-0000-7000-8000-000000000002", numbered(&n))
	if err != nil || other.Secret == got[0].Secret {
		t.Errorf("another organization got %+v, %v", other, err)
	}
}

// The secret before stays valid for the grace and no longer, and ends at once where that is wished.
func TestCallbackSecretIsRotated(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	app := open(t, url, store.App)
	conn := connect(t, url)
	var n atomic.Int32
	fresh := numbered(&n)
	rotated := func(grace bool) store.CallbackSecret {
		t.Helper()
		var s store.CallbackSecret
		err := app.TxAs(t.Context(), organization, func(tx pgx.Tx) (err error) {
			if grace {
				s, err = store.RotateCallbackSecret(t.Context(), tx, organization, fresh(), store.CallbackGrace)
			} else {
				s, err = store.RotateCallbackSecret(t.Context(), tx, organization, fresh(), 0)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := func() store.CallbackSecret {
		t.Helper()
		s, err := app.CallbackSecret(t.Context(), organization, fresh)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := rotated(true)
	if first.Previous != nil || first.PreviousUntil != nil || !slices.Equal(now().Valid(), []string{first.Secret}) {
		t.Errorf("a rotation of none gives %+v", first)
	}
	second := rotated(true)
	if second.PreviousUntil == nil || !slices.Equal(now().Valid(), []string{second.Secret, first.Secret}) {
		t.Errorf("both are not valid: %+v", second)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE webhook_callback_secrets SET previous_secret_until = now() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
	if s := now(); !slices.Equal(s.Valid(), []string{second.Secret}) || s.PreviousUntil != nil {
		t.Errorf("the first is still valid: %+v", s)
	}
	third, fourth := rotated(true), rotated(false)
	if third.Version != 3 || !slices.Equal(now().Valid(), []string{fourth.Secret}) || fourth.CreatedAt.Before(third.CreatedAt) {
		t.Errorf("a revoked one is still valid: %+v, then %+v", third, now())
	}
}
