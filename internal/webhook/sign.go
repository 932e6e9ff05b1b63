package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	// What the specification allows.
	fewestSecretBytes, mostSecretBytes = 24, 64
)

// NewSecret makes a secret to sign with, as Standard Webhooks writes it: whsec_ and base64 of 32 random bytes.
func NewSecret() string {
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Sign gives the value of the header webhook-signature after Standard Webhooks 1.0: "v1," and base64 of the HMAC-SHA256 of
// id, time (whole seconds) and body, joined by dots, for each secret in their order. A receiver is content with any
// of them, so that a secret can be changed while nobody misses anything. The error never shows a secret.
func Sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	if len(secrets) == 0 {
		return "", errors.New("sign: there is no secret")
	}
	if id == "" || strings.Contains(id, ".") {
		return "", fmt.Errorf("sign: the id %q is empty or holds a dot, which parts it from the time", id)
	}
	head := id + "." + strconv.FormatInt(at.Unix(), 10) + "."
	signatures := make([]string, 0, len(secrets))
	for i, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", fmt.Errorf("sign %s with secret %d: %w", id, i+1, err)
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(head))
		_, _ = mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " "), nil
}

// keyOf decodes a secret. What base64 says of a bad one is left out, as it tells of the secret.
func keyOf(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) < fewestSecretBytes || len(key) > mostSecretBytes {
		return nil, fmt.Errorf("the secret isn't %s and base64 of %d to %d bytes", secretPrefix, fewestSecretBytes, mostSecretBytes)
	}
	return key, nil
}

// SignBody gives the value of the header X-Webhook-Signature, for receivers from before Standard Webhooks: hex of the
// HMAC-SHA256 of the body alone, keyed with the text of the secret as it is written, whsec_ included. It doesn't
// protect from replays, as neither id nor time are in it.
func SignBody(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
