package api

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
)

// The text of a key is its mark, 43 random base62 digits (256 bits), and a checksum, so that a typo is
// told from a key without asking the database, and scanners for leaked secrets recognise one.
const (
	keyMark     = "pay_"
	keyRandom   = 43
	keyChecksum = 6
	keyLength   = len(keyMark) + keyRandom + keyChecksum
	keyPrefix   = 12 // of the text: what its owner may see later
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewKey makes a key: its text, which is shown once, its first characters, to recognise it by later, and
// the hash that is stored.
func NewKey() (text, prefix string, hash [32]byte) {
	text = newKeyText()
	return text, text[:keyPrefix], sha256.Sum256([]byte(text))
}

func newKeyText() string {
	text := make([]byte, 0, keyLength)
	text = append(text, keyMark...)
	var random [64]byte
	for len(text) < len(keyMark)+keyRandom {
		// crypto/rand never fails; it ends the process instead.
		_, _ = rand.Read(random[:])
		for _, b := range random {
			// 248 is the largest multiple of 62 in a byte: what lies above would favour the low digits.
			if b < 248 && len(text) < len(keyMark)+keyRandom {
				text = append(text, base62[b%62])
			}
		}
	}
	return string(appendChecksum(text))
}

// wellFormedKey reports whether text could be a key.
func wellFormedKey(text string) bool {
	if len(text) != keyLength || text[:len(keyMark)] != keyMark {
		return false
	}
	body := len(keyMark) + keyRandom
	var sum [keyLength]byte
	return string(appendChecksum(append(sum[:0], text[:body]...))) == text
}

func appendChecksum(text []byte) []byte {
	sum := crc32.ChecksumIEEE(text)
	var digits [keyChecksum]byte
	for i := keyChecksum - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return append(text, digits[:]...)
}
