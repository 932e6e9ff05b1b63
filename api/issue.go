package api

import "crypto/sha256"

// NewKey makes a key: its text, which is shown once, its first characters, to recognise it by later, and
// the hash that is stored.
func NewKey() (text, prefix string, hash [32]byte) {
	text = newKey()
	return text, text[:keyPrefix], sha256.Sum256([]byte(text))
}
