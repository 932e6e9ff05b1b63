package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrTooSlow means that a query was given up because it took longer than it may.
var ErrTooSlow = errors.New("took too long")

// A ContactSearch looks for text among an organization's contacts, as ParseContactSearch reads it.
type ContactSearch struct {
	contained  []string      // patterns of LIKE
	beginnings []string      // escaped for LIKE
	Within     time.Duration // the search is ErrTooSlow after it; 0: never
}

// Words says how many different words are looked for; with none there is no search.
func (s ContactSearch) Words() int { return len(s.contained) + len(s.beginnings) }

// wholeWord is from how many characters on a word is looked for anywhere: shorter ones are in nearly every
// text, and have no trigram that the index could look for.
const wholeWord = 3

// ParseContactSearch reads what a person typed. Every word must be somewhere in a contact's name, mail address,
// company or digits of the phone number, in capitals or not; one or two characters must begin a word there. What
// looks like a phone number, with or without 0 or +91, is looked for by its digits.
func ParseContactSearch(text string) ContactSearch {
	words := strings.Fields(text)
	if digits, ok := phoneDigits(text); ok {
		words = []string{digits}
	}
	slices.Sort(words)
	s := ContactSearch{contained: []string{}, beginnings: []string{}}
	for _, word := range slices.Compact(words) {
		escaped := likeEscaper.Replace(word)
		if utf8.RuneCountInString(word) < wholeWord {
			s.beginnings = append(s.beginnings, escaped)
		} else {
			s.contained = append(s.contained, "%"+escaped+"%")
		}
	}
	return s
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// phoneDigits gives the digits of what consists of them and what people put between. Of a whole number it
// gives the ten that are the same in all ways to write it.
func phoneDigits(text string) (digits string, ok bool) {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case !strings.ContainsRune("+-() ", r):
			return "", false
		}
	}
	digits = b.String()
	if before := len(digits) - 10; before > 0 && slices.Contains([]string{"0", "91", "091", "0091"}, digits[:before]) {
		digits = digits[before:]
	}
	return digits, digits != ""
}

// The ids are found with the owner's eyes, the contacts read under row-level security.
const searchContacts = `
SELECT ` + contactColumns + ` FROM contacts
WHERE organization_id = $1 AND id = ANY (ARRAY(SELECT search_contacts($2, $3, $4, $5, $6, $7, $8)))
ORDER BY contacts.id DESC`

const limitStatements = `SELECT set_config('statement_timeout', $1, true)`

// queueSearch adds the search for contacts to a batch.
func (f ContactFilter) queueSearch(b *pgx.Batch, organizationID string) *pgx.QueuedQuery {
	if f.Search.Within > 0 {
		b.Queue(limitStatements, strconv.FormatInt(max(f.Search.Within.Milliseconds(), 1), 10))
	}
	var before *string
	if f.Before != "" {
		before = &f.Before
	}
	return b.Queue(searchContacts, organizationID, f.Search.contained, f.Search.beginnings, f.Status, f.Type, f.Stage, before, f.Limit)
}

// tooSlow gives a statement that Postgres gave up for its length our name.
func tooSlow(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" {
		return fmt.Errorf("%w: %w", ErrTooSlow, err)
	}
	return err
}
