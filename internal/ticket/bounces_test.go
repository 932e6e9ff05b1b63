package ticket

import (
	"strings"
	"testing"
)

func TestReturnPathsAreAddresses(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("b", maxBouncesLocal) + "@example.com"
	for _, in := range []string{"bounces@example.com", "Bounces@EXAMPLE.com", longest} {
		b, err := ParseBounces(in)
		if err != nil {
			t.Fatal(err)
		}
		if b.IsZero() || b.String() != strings.ToLower(in) {
			t.Errorf("%q became %q", in, b)
		}
		made, err := maker("k").ReturnPath(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		address := b.With(made)
		if local, _, _ := strings.Cut(address, "@"); len(local) > 64 {
			t.Errorf("%q has %d characters before its @", address, len(local))
		}
		ticket, ours := b.Split(strings.ToUpper(address))
		if got, err := maker("k").OfReturnPath(t.Context(), ticket); !ours || err != nil || got.MessageID != ref.MessageID {
			t.Errorf("%q comes back as %+v, %v, %v", address, got, ours, err)
		}
	}
	if len(longest) != len("bounces@example.com")+maxBouncesLocal-len("bounces") || returnPathSize != 45 {
		t.Errorf("a ticket has %d characters, and leaves %d", returnPathSize, maxBouncesLocal)
	}
}

func TestAddressesThatCanTakeNoTicket(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "bounces", "@example.com", "bounces@", "bounces+x@example.com", "a b@example.com", "a@b@c", "<a@b.c>",
		"a@exa mple.com", "a@ex_ample.com", "é@example.com", "a@bücher.example", "a\n@b.c", strings.Repeat("b", maxBouncesLocal+1) + "@example.com"} {
		if b, err := ParseBounces(in); err == nil || !b.IsZero() {
			t.Errorf("%q became %q", in, b)
		}
	}
}

func TestForeignAddressesAreNotOurs(t *testing.T) {
	t.Parallel()
	b, err := ParseBounces("bounces@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"bounces@example.com": "", "BOUNCES+abc@Example.Com": "abc", "bounces+a+b@example.com": "a+b"} {
		if got, ours := b.Split(in); got != want || !ours {
			t.Errorf("%q: %q, %v", in, got, ours)
		}
	}
	for _, in := range []string{"", "@", "bounces", "bounces+@example.com", "other@example.com", "bounces@example.org", "bounces+abc@sub.example.com",
		"xbounces+abc@example.com", "bouncesx@example.com", "a@bounces+abc@example.org"} {
		if got, ours := b.Split(in); got != "" || ours {
			t.Errorf("%q is ours, with %q", in, got)
		}
		if got, ours := (Bounces{}).Split(in); got != "" || ours {
			t.Errorf("without an address %q is ours, with %q", in, got)
		}
	}
}
