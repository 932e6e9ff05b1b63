package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/payaid/payaid/internal/store"
)

// versioned is a thing as it is read and changed, with its version in its ETag.
type versioned[T any] struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         T
}

func versionedOf[T any](etag string, body T) *versioned[T] {
	return &versioned[T]{Status: http.StatusOK, ETag: etag, CacheControl: revalidate, Body: body}
}

// unless answers 304 to a client that has this version.
func (v *versioned[T]) unless(ifNoneMatch string) *versioned[T] {
	if matches(ifNoneMatch, v.ETag) {
		v.Status = http.StatusNotModified
	}
	return v
}

func versionTag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// summedTag is the ETag of a thing that is shown together with what comes and goes without a new version of it:
// the version, and a sum of all that is shown. If-None-Match compares the whole, If-Match the version alone.
func summedTag(version int64, shown []byte) string {
	sum := sha256.Sum256(shown)
	return `"` + strconv.FormatInt(version, 10) + "-" + hex.EncodeToString(sum[:8]) + `"`
}

var summed = regexp.MustCompile(`"([0-9]+)-[0-9a-f]{16}"`)

// checkMatch refuses a change that is meant for another version than the newest, whatever was shown with it: what
// became of a contact's deals, or was found out about a deal meanwhile, is no reason to refuse a change of it.
// It compares as If-Match asks (RFC 9110, 13.1.1): strongly, so that what a proxy has made weak matches nothing.
func checkMatch(ifMatch string, version int64) error {
	if ifMatch == "" || ifMatch == anyVersion {
		return nil
	}
	tags, err := parseETags("If-Match", summed.ReplaceAllString(ifMatch, `"$1"`))
	switch {
	case err != nil:
		return err
	case slices.Contains(tags, versionTag(version)):
		return nil
	case slices.ContainsFunc(tags, isWeak):
		return refuse("precondition_failed", `a weak ETag never matches in If-Match; send the one that you read, without W/`)
	}
	return refuse("precondition_failed", "it has changed since you read it; read it again")
}

const anyVersion = "*"

// namesVersion tells an If-Match that says what the client has read from none, and from one that doesn't care.
func namesVersion(ifMatch string) bool { return ifMatch != "" && ifMatch != anyVersion }

func isWeak(etag string) bool { return strings.HasPrefix(etag, "W/") }

// An ETag as RFC 9110, 8.8.3 writes it, with what may come after it in a list (5.6.1).
var etagInList = regexp.MustCompile(`^((?:W/)?"[^"\x00-\x20\x7f]*")[ \t]*(?:,[ \t,]*|$)`)

// parseETags reads the list of ETags in a header.
func parseETags(header, list string) (tags []string, err error) {
	for rest := strings.TrimLeft(list, " \t,"); rest != ""; {
		found := etagInList.FindStringSubmatch(rest)
		if found == nil {
			return nil, refuse("invalid_header", header+` is neither * nor a list of ETags, such as "1" with its quotes`)
		}
		tags = append(tags, found[1])
		rest = rest[len(found[0]):]
	}
	return tags, nil
}

// A change that meets another one is made again on the newer version, this many times.
const changeAttempts = 5

// onNewest reads a thing and changes it, and does so again while others change it in between
// (store.ErrConflict). A change with If-Match is refused by checkMatch in the next round.
func onNewest[T any](change func() (T, error)) (T, error) {
	for range changeAttempts {
		if v, err := change(); !errors.Is(err, store.ErrConflict) {
			return v, err
		}
	}
	var none T
	return none, refuse("conflict", "others change it all the time; try again")
}
