package ticket

import (
	"context"
	"errors"
	"strings"
	"testing"
)

var ref = Ref{OrganizationID: "01976f5e-7d4a-7000-8d21-ba9876543210", MessageID: "01976f5e-7d4a-7b3c-8d21-0123456789ab", Recipient: 3}

func maker(key string) *Maker {
	return NewMaker(func(context.Context) ([]byte, error) { return []byte(strings.Repeat(key, 32)), nil })
}

func TestTicketsComeBack(t *testing.T) {
	t.Parallel()
	m, ctx := maker("k"), t.Context()
	path, err := m.ReturnPath(ctx, ref)
	if err != nil || len(path) != 45 {
		t.Fatalf("got %q, %v", path, err)
	}
	// Servers may write an address in other capitals, and the organization has no room in it.
	if got, err := m.OfReturnPath(ctx, strings.ToUpper(path)); err != nil || got != (Ref{MessageID: ref.MessageID, Recipient: 3}) {
		t.Errorf("got %+v, %v", got, err)
	}
	link, err := m.Unsubscribe(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.OfUnsubscribe(ctx, link); err != nil || got != ref {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestForgedTickets(t *testing.T) {
	t.Parallel()
	m, ctx := maker("k"), t.Context()
	path, _ := m.ReturnPath(ctx, ref)
	link, _ := m.Unsubscribe(ctx, ref)
	for i := range path {
		other := "a"
		if path[i] == 'a' {
			other = "b"
		}
		if _, err := m.OfReturnPath(ctx, path[:i]+other+path[i+1:]); !errors.Is(err, ErrForged) {
			t.Errorf("character %d of a return path can be another: %v", i, err)
		}
	}
	for i := range link {
		other := "A"
		if link[i] == 'A' {
			other = "B"
		}
		if _, err := m.OfUnsubscribe(ctx, link[:i]+other+link[i+1:]); !errors.Is(err, ErrForged) {
			t.Errorf("character %d of a link can be another: %v", i, err)
		}
	}
	for _, bad := range []string{"", "x", path + "a", link, strings.Repeat("a", 10_000)} {
		if _, err := m.OfReturnPath(ctx, bad); !errors.Is(err, ErrForged) {
			t.Errorf("%.20q is a return path: %v", bad, err)
		}
	}
	// Go's decoder skips line breaks.
	for _, inserted := range []string{"\n", "\r", "\r\n"} {
		if _, err := m.OfUnsubscribe(ctx, link[:9]+inserted+link[9:]); !errors.Is(err, ErrForged) {
			t.Errorf("a link with %q in it is taken: %v", inserted, err)
		}
	}
	if _, err := maker("other").OfUnsubscribe(ctx, link); !errors.Is(err, ErrForged) {
		t.Errorf("another installation's link is taken: %v", err)
	}
}

// A key that could not be loaded is asked for again.
func TestKeyIsLoadedWhenItIsThere(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	m := NewMaker(func(context.Context) ([]byte, error) {
		if away != nil {
			return nil, away
		}
		return make([]byte, 32), nil
	})
	if _, err := m.ReturnPath(t.Context(), ref); !errors.Is(err, away) {
		t.Fatalf("got %v", err)
	}
	away = nil
	if _, err := m.ReturnPath(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}
