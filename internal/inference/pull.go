package inference

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
)

const (
	// pullStall is when a pull that brings nothing more is given up.
	pullStall = 5 * time.Minute
	// checkStall is for the check of what was pulled, which says nothing of how far it is: 70 GB on a slow disk.
	checkStall = time.Hour
)

// The codes of a [PullError].
const (
	PullDisabled         = "ollama_disabled"
	PullAway             = "ollama_away"
	PullUnreachable      = "registry_unreachable"
	PullInsecure         = "registry_insecure"
	PullNoSuchModel      = "model_not_found"
	PullDiskFull         = "disk_full"
	PullStalled          = "pull_stalled"
	PullDamaged          = "pull_damaged"
	PullOllamaTooOld     = "ollama_too_old"
	PullInvalidModelName = "invalid_model"
	PullFailed           = "pull_failed"
)

// PullError is why a model could not be pulled. Its detail is a sentence for the owner, and holds nothing that a
// server said: an address in it may be signed.
type PullError struct {
	Code, Detail string
	// Passing says that the same may succeed soon. What came so far is kept by Ollama.
	Passing bool
}

// Error says the code and the sentence.
func (e *PullError) Error() string { return "pull model: " + e.Code + ": " + e.Detail }

// Pull is a model to be fetched from a registry.
type Pull struct {
	Model string // as Ollama names it: [HOST[:PORT]/][NAMESPACE/]NAME[:TAG]
	// Insecure lets the registry be asked without TLS.
	Insecure bool
}

// Pulled is what Ollama has after a pull; Size is in bytes.
type Pulled struct {
	Model, Digest string
	Size          int64
}

// pullable is a model's name: each part begins with a letter, a digit or an underscore, so that none of them can
// be an option, a path or another scheme.
var pullable = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9.-]{0,200}(:[0-9]{1,5})?/)?` + // host
	`([A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?` +
	`[A-Za-z0-9_][A-Za-z0-9._-]{0,79}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,79})?$`)

// CheckModelName says what is wrong with the name of a model that is to be pulled; "" if nothing is.
func CheckModelName(name string) string {
	if !pullable.MatchString(name) || len(name) > 250 {
		return "must be the name of a model, such as mistral:7b or registry.example.com/team/model:tag"
	}
	return ""
}

// Pull has Ollama fetch a model. progress hears how many of the bytes known so far are there: layers follow one
// another, so the total grows; an error of progress ends the pull. A pull that was ended goes on where it was when
// it is asked for again. The error is a [*PullError], or the end of ctx.
func (c *Chain) Pull(ctx context.Context, p Pull, progress func(done, total int64) error) (Pulled, error) {
	if c.ollama == nil {
		return Pulled{}, &PullError{Code: PullDisabled, Detail: "Ollama is disabled (OLLAMA_ENABLED), so there is nobody to pull a model."}
	}
	if why := CheckModelName(p.Model); why != "" {
		return Pulled{}, &PullError{Code: PullInvalidModelName, Detail: "The model " + why + "."}
	}
	if err := c.pull(ctx, p, progress); err != nil {
		return Pulled{}, err
	}
	got, err := c.ollama.installed(ctx, p.Model)
	if err != nil {
		return Pulled{}, err
	}
	c.arrived(p.Model)
	return got, nil
}

func (c *Chain) pull(ctx context.Context, p Pull, progress func(done, total int64) error) error {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stalled := time.AfterFunc(c.stall, func() { stop(errStalled) })
	defer stalled.Stop()
	var l layers
	var heard error
	var ex exchange
	err := c.ollama.puller.Pull(withExchange(working, &ex), &api.PullRequest{Model: p.Model, Insecure: p.Insecure},
		func(r api.ProgressResponse) error {
			if !l.add(r) {
				return nil
			}
			patience := c.stall
			if strings.HasPrefix(r.Status, "verifying") {
				patience = max(patience, checkStall)
			}
			stalled.Reset(patience)
			if l.total > 0 {
				heard = progress(l.done, l.total)
			}
			return heard
		})
	switch {
	case heard != nil:
		return heard
	case ctx.Err() != nil:
		return ctx.Err()
	case context.Cause(working) == errStalled:
		return &PullError{Code: PullStalled, Passing: true, Detail: fmt.Sprintf(
			"Nothing more of the model came for %s; check the network of the host of Ollama. What came is kept.", rounded(c.stall))}
	case err == nil && l.success:
		return nil
	case ex.status == 0 && err != nil:
		return c.ollama.away(unreachable(err).detail)
	case err == nil:
		return c.ollama.away("broke off the pull")
	}
	c.cfg.Log.Warn("model not pulled", "model", p.Model, "status", ex.status, "code", refusedPull(err.Error()).Code)
	return refusedPull(err.Error())
}

var errStalled = errors.New("the pull stalled")

// layers adds up what Ollama tells of each.
type layers struct {
	status      string
	of          map[string]api.ProgressResponse
	done, total int64
	success     bool
}

// add says whether there is news.
func (l *layers) add(r api.ProgressResponse) bool {
	news := r.Status != l.status
	l.status, l.success = r.Status, r.Status == "success"
	if r.Digest == "" {
		return news
	}
	if l.of == nil {
		l.of = map[string]api.ProgressResponse{}
	}
	known := l.of[r.Digest]
	// A part that is fetched again is taken back by Ollama; to who watches it came already.
	now := api.ProgressResponse{Total: max(known.Total, r.Total), Completed: max(known.Completed, min(r.Completed, r.Total))}
	l.of[r.Digest] = now
	l.done += now.Completed - known.Completed
	l.total += now.Total - known.Total
	return news || now.Completed > known.Completed || now.Total > known.Total
}

// refusedPull reads what Ollama says about a pull that failed.
func refusedPull(said string) *PullError {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no space left", "disk quota"):
		return &PullError{Code: PullDiskFull, Detail: "The disk of Ollama's models (OLLAMA_MODELS) is full; make room and pull again: what came is kept."}
	case has("insecure protocol", "HTTP response to HTTPS client"):
		return &PullError{Code: PullInsecure, Detail: `The registry speaks plain HTTP; set "insecure" if that is meant.`}
	case has("file does not exist", "unauthorized"):
		return &PullError{Code: PullNoSuchModel, Detail: "The registry has no such model, or doesn't give it to everybody; check name and tag."}
	case has("newer version of Ollama"):
		return &PullError{Code: PullOllamaTooOld, Detail: "The model needs a newer Ollama."}
	case has("digest mismatch"):
		return &PullError{Code: PullDamaged, Passing: true, Detail: "What came is not what the registry promised; pull again."}
	case has("invalid model name"):
		return &PullError{Code: PullInvalidModelName, Detail: "Ollama takes this for no name of a model."}
	case noWay.MatchString(said):
		return &PullError{Code: PullUnreachable, Passing: true, Detail: "The host of Ollama can't reach the registry; " +
			"check its network, its name server, and HTTPS_PROXY in Ollama's environment."}
	}
	return &PullError{Code: PullFailed, Detail: "Ollama could not pull the model; its log says why."}
}

// noWay are the words for a registry that can't be reached, or that is not well.
var noWay = regexp.MustCompile(`dial tcp|lookup |no such host|timeout|deadline exceeded|connection (refused|reset)|` +
	`unreachable|proxyconnect|tls: |x509: |EOF|max retries exceeded|(^|: )(429|5[0-9][0-9]): `)

// arrived ends what a missing model had led to.
func (c *Chain) arrived(model string) {
	for _, b := range c.board.all() {
		if b.provider == Ollama && sameModel(b.model, model) {
			c.told.forget(Ollama + " " + b.model + " " + Misconfigured)
			b.arrived()
			c.board.tend(b.model)
		}
	}
}

func (o *ollama) away(detail string) *PullError {
	return &PullError{Code: PullAway, Passing: true, Detail: o.subject() + " " + detail}
}

// installed finds a model among those that Ollama has.
func (o *ollama) installed(ctx context.Context, model string) (Pulled, error) {
	ctx, cancel := context.WithTimeout(ctx, groqProbeTime)
	defer cancel()
	list, err := o.client.List(ctx)
	if err != nil {
		return Pulled{}, o.away("doesn't say what it has")
	}
	for _, m := range list.Models {
		if sameModel(m.Name, model) {
			return Pulled{Model: m.Name, Digest: m.Digest, Size: m.Size}, nil
		}
	}
	return Pulled{}, &PullError{Code: PullFailed, Detail: "Ollama says that it pulled the model, and doesn't have it."}
}
