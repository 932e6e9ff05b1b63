package store

import (
	"slices"
	"strings"
	"time"
)

// Words are what deals or invoices are searched for, as ParseWords reads it.
type Words struct {
	contained []string      // patterns of LIKE
	Within    time.Duration // the search is ErrTooSlow after it
}

// ParseWords reads what a person typed: words that are all to be found, in any order, in capitals or not.
func ParseWords(text string) Words {
	words := strings.Fields(text)
	slices.Sort(words)
	words = slices.Compact(words)
	for i, word := range words {
		words[i] = "%" + likeEscaper.Replace(word) + "%"
	}
	return Words{contained: words}
}

// Count says how many different words are looked for; with none there is no search.
func (w Words) Count() int { return len(w.contained) }
