package webhook

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// signed gives a delivery's headers, signed at a time.
func signed(t *testing.T, at time.Time, id string, body []byte, secrets ...string) http.Header {
	t.Helper()
	signature, err := Sign(secrets, id, at, body)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set(headerID, id)
	h.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(headerSignature, signature)
	return h
}

// The library of the specification's authors takes what we sign, by either secret while there are two.
func TestTheGoLibraryVerifiesSignatures(t *testing.T) {
	t.Parallel()
	newest, previous, body := NewSecret(), NewSecret(), []byte(`{"type":"invoice.paid","data":{"note":"₹ 5"}}`)
	h := signed(t, time.Now(), "0197f4a2-0000-7000-8000-000000000001", body, newest, previous)
	verify := func(secret string, body []byte, h http.Header) error {
		library, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return library.Verify(body, h)
	}
	for _, secret := range []string{newest, previous} {
		if err := verify(secret, body, h); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	if err := verify(NewSecret(), body, h); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("a wrong secret: got %v", err)
	}
	if err := verify(newest, append([]byte(" "), body...), h); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("a changed body: got %v", err)
	}
	other := h.Clone()
	other.Set(headerID, "0197f4a2-0000-7000-8000-000000000002")
	if err := verify(newest, body, other); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("a changed id: got %v", err)
	}
	later := h.Clone()
	later.Set(headerTimestamp, strconv.FormatInt(time.Now().Unix()+1, 10))
	if err := verify(newest, body, later); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("a changed time: got %v", err)
	}
	old := signed(t, time.Now().Add(-5*time.Minute-2*time.Second), "id", body, newest)
	if err := verify(newest, body, old); !errors.Is(err, standardwebhooks.ErrMessageTooOld) {
		t.Errorf("an old one: got %v", err)
	}
}

func TestTheNewestSecretSignsFirst(t *testing.T) {
	t.Parallel()
	at, newest, previous := time.Unix(1_700_000_000, 999_999_999), NewSecret(), NewSecret()
	both, err := Sign([]string{newest, previous}, "id", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Sign([]string{newest}, "id", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if list := strings.Split(both, " "); len(list) != 2 || list[0] != first || list[1] == first {
		t.Errorf("got %q, want %q first", both, first)
	}
}

// What can't sign is refused, and never shown.
func TestSignRefuses(t *testing.T) {
	t.Parallel()
	short := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23))
	for name, call := range map[string]struct {
		secrets []string
		id      string
	}{
		"no secret":       {nil, "id"},
		"no prefix":       {[]string{strings.TrimPrefix(NewSecret(), "whsec_")}, "id"},
		"not base64":      {[]string{"whsec_hunter2hunter2hunter2hunter2!"}, "id"},
		"too short":       {[]string{short}, "id"},
		"empty":           {[]string{""}, "id"},
		"bad second":      {[]string{NewSecret(), "hunter2"}, "id"},
		"no id":           {[]string{NewSecret()}, ""},
		"an id with dots": {[]string{NewSecret()}, "a.1700000000"},
	} {
		got, err := Sign(call.secrets, call.id, time.Now(), nil)
		if err == nil || got != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestSecretsAreNew(t *testing.T) {
	t.Parallel()
	a, b := NewSecret(), NewSecret()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "whsec_"))
	if a == b || !strings.HasPrefix(a, "whsec_") || err != nil || len(key) != 32 {
		t.Errorf("got %d bytes, %v", len(key), err)
	}
}
