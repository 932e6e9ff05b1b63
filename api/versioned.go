package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/payaid/payaid/internal/store"
)

// versioned is a thing as it is read and changed, with its version as its ETag.
type versioned[T any] struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         T
}

func versionedOf[T any](version int64, body T) *versioned[T] {
	return &versioned[T]{Status: http.StatusOK, ETag: versionTag(version), CacheControl: revalidate, Body: body}
}

// unless answers 304 to a client that has this version.
func (v *versioned[T]) unless(ifNoneMatch string) *versioned[T] {
	if matches(ifNoneMatch, v.ETag) {
		v.Status = http.StatusNotModified
	}
	return v
}

func versionTag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// checkMatch refuses a change that is meant for another version than the newest.
func checkMatch(ifMatch string, version int64) error {
	if ifMatch != "" && !matchesStrongly(ifMatch, versionTag(version)) {
		return refuse("precondition_failed", "it has changed since you read it; read it again")
	}
	return nil
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
