package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/payaid/payaid/internal/store"
)

// seal encrypts an answer, which may show a new API key, for whoever holds the bearer secret and knows
// the idempotency key: neither is in the database.
func seal(secret string, k store.IdempotencyKey, body []byte) ([]byte, error) {
	aead, err := sealer(secret, k)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(body)+aead.Overhead())
	// crypto/rand never fails; it ends the process instead.
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, body, []byte(k.OrganizationID+" "+k.Scope)), nil
}

var errSealed = errors.New("the answer was sealed for somebody else")

func unseal(secret string, k store.IdempotencyKey, sealed []byte) ([]byte, error) {
	aead, err := sealer(secret, k)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errSealed
	}
	nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	body, err := aead.Open(nil, nonce, text, []byte(k.OrganizationID+" "+k.Scope))
	if err != nil {
		return nil, errSealed
	}
	return body, nil
}

func sealer(secret string, k store.IdempotencyKey) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), []byte(k.Key), "payaid kept answer v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a kept answer: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
