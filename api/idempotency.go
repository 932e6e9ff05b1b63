package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const idempotencyHeader = "Idempotency-Key"

// An answer is what a write that makes something answers, rendered so that it can be kept.
type answer struct {
	status   int
	headers  answerHeaders
	body     []byte // JSON
	replayed bool
	// budgetLeft is what is left of a budget now, whenever the answer was made; "": not told.
	budgetLeft string
}

type answerHeaders struct {
	Location   string `json:"location,omitempty"`
	ETag       string `json:"etag,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
}

// created is an answer as huma writes it, with a body of the shape T.
type created[T any] struct {
	Status     int
	Location   string `header:"Location"`
	ETag       string `header:"ETag"`
	RetryAfter string `header:"Retry-After"`
	Replayed   string `header:"Idempotency-Replayed"`
	Body       encoded[T]
}

func createdFrom[T any](a answer) *created[T] {
	c := &created[T]{Status: a.status, Location: a.headers.Location, ETag: a.headers.ETag,
		RetryAfter: a.headers.RetryAfter, Body: encoded[T]{a.body}}
	if a.replayed {
		c.Replayed = "true"
	}
	return c
}

// parseIdempotencyKey takes a key bare, as most clients send it, or as the quoted string of RFC 8941 that
// the standard's draft asks for.
func parseIdempotencyKey(header string) (string, error) {
	key := strings.TrimSpace(header)
	if strings.HasPrefix(key, `"`) {
		var err error
		if key, err = unquote(key); err != nil {
			return "", err
		}
	}
	if key == "" || len(key) > 255 {
		return "", refuse("invalid_header", "Idempotency-Key has 1 to 255 characters")
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return "", refuse("invalid_header", "Idempotency-Key has characters other than printable ASCII")
		}
	}
	return key, nil
}

// unquote reads a string of RFC 8941: only a quote and a backslash are escaped.
func unquote(s string) (string, error) {
	malformed := refuse("invalid_header", "Idempotency-Key is not a well-formed quoted string")
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", malformed
	}
	var b strings.Builder
	for inner := s[1 : len(s)-1]; inner != ""; {
		c := inner[0]
		inner = inner[1:]
		if c == '"' {
			return "", malformed
		}
		if c == '\\' {
			if inner == "" || inner[0] != '"' && inner[0] != '\\' {
				return "", malformed
			}
			c, inner = inner[0], inner[1:]
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// once carries a write out in one transaction of the caller's organization. With an Idempotency-Key it
// does so for the first request alone: the key's row and the answer are part of that transaction, so
// there is no moment at which one is there without the other, and a failure leaves neither.
func (s *Server) once(ctx context.Context, do func(pgx.Tx) (answer, error)) (answer, error) {
	x := exchangeOf(ctx)
	var a answer
	if !x.repeatable {
		err := s.DB.TxAs(ctx, x.caller.OrganizationID, func(tx pgx.Tx) (err error) {
			a, err = do(tx)
			return err
		})
		return a, err
	}
	key, err := parseIdempotencyKey(x.idempotencyKey)
	if err != nil {
		return answer{}, err
	}
	k := store.IdempotencyKey{OrganizationID: x.caller.OrganizationID, Scope: x.method + " " + x.path, Key: key,
		Fingerprint: fingerprint(x.method, x.path, x.body)}
	err = s.DB.TxAs(ctx, k.OrganizationID, func(tx pgx.Tx) error {
		kept, err := store.ClaimIdempotencyKey(ctx, tx, k)
		if err != nil {
			return err
		}
		if kept != nil {
			a, err = openAnswer(x.caller, k, kept)
			return err
		}
		if a, err = do(tx); err != nil {
			return err
		}
		return keepAnswer(ctx, tx, x.caller, k, a)
	})
	if errors.Is(err, store.ErrInFlight) {
		err = refuse("idempotency_key_in_flight", "the first request with this Idempotency-Key has not ended; repeat it").
			with("Retry-After", "1")
	}
	return a, err
}

func fingerprint(method, path string, body []byte) []byte {
	h := sha256.New()
	h.Write([]byte(method + " " + path + "\n"))
	h.Write(body)
	return h.Sum(nil)
}

func keepAnswer(ctx context.Context, tx pgx.Tx, c caller, k store.IdempotencyKey, a answer) error {
	headers, err := json.Marshal(a.headers)
	if err != nil {
		return err
	}
	sealed, err := seal(c.secret, k, a.body)
	if err != nil {
		return err
	}
	// The write may have acted as another organization; the key is the caller's.
	if err := store.ActAs(ctx, tx, k.OrganizationID); err != nil {
		return err
	}
	return store.KeepAnswer(ctx, tx, k, store.KeptAnswer{Status: &a.status, Headers: headers, Body: sealed})
}

func openAnswer(c caller, k store.IdempotencyKey, kept *store.KeptAnswer) (answer, error) {
	if !bytes.Equal(kept.Fingerprint, k.Fingerprint) {
		return answer{}, refuse("idempotency_key_reused", "this Idempotency-Key was used with another body")
	}
	if kept.Status == nil {
		return answer{}, refuse("idempotency_key_in_flight", "the first request has no answer yet").with("Retry-After", "1")
	}
	a := answer{status: *kept.Status, replayed: true}
	if err := json.Unmarshal(kept.Headers, &a.headers); err != nil {
		return answer{}, err
	}
	var err error
	if a.body, err = unseal(c.secret, k, kept.Body); err != nil {
		return answer{}, refuse("idempotency_key_reused", "this Idempotency-Key was used with another API key")
	}
	return a, nil
}
