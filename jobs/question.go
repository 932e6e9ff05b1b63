package jobs

import (
	"encoding/json"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

// noStore is what a client says that wants an answer of its own: none that was kept, and none that is.
const noStore = "no-store"

// How long answers are worth keeping, at most; a change of what they were made from ends them earlier.
const (
	keepFreeForm = 24 * time.Hour // to the same words: nothing else went into it
	keepBusiness = 12 * time.Hour // from records
)

// A question is what a kind asks a model, and what may become of the answer.
type question struct {
	prompt   inference.Prompt
	template string        // name of the prompt's wording, with its version; "" for the client's own words
	noStore  bool          // neither from the cache nor into it
	keep     time.Duration // how long an answer may be kept
	tags     []string      // of the records that the prompt was made from, as cachetag names them
	// rules answer in the shape of the prompt's schema where no model can be reached, unless they have no answer; nil or
	// without an answer: the job waits.
	rules func() (out any, ok bool)
	// polish brings a model's document into the shape that clients get; nil: it has it.
	polish func(json.RawMessage) (json.RawMessage, error)
}
