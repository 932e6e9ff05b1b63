package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"sync"
	"time"
)

// The states of the channel.
const (
	stateClosed   = "closed"
	stateOpen     = "open"
	stateHalfOpen = "half_open"
)

const (
	// faultsToOpen in a row open the breaker.
	faultsToOpen = 5
	// The pauses double each time that the channel turns out to be still ill, up to 16 and 4 times the first.
	maxDoublings, maxLoginDoublings = 4, 2
)

// change is what a settled mail did to the breaker.
type change int

const (
	unchanged change = iota
	opened
	recovered
)

// breaker keeps mail from a server that is away or doesn't let us in. It opens by faults of the channel in a row,
// or by one where the next would be the same, such as a wrong password. After the pause one mail is the trial.
type breaker struct {
	pause, loginPause time.Duration

	mu     sync.Mutex
	state  string
	faults int // in a row
	opens  int // in a row
	due    time.Time
	trial  bool // is under way
	last   string
	lastAt time.Time
}

func newBreaker(pause, loginPause time.Duration) *breaker {
	return &breaker{pause: pause, loginPause: loginPause, state: stateClosed}
}

var errIll = errors.New("the mail server could not be used")

// refusal is nil while mail may be tried.
func (b *breaker) refusal() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuse()
}

func (b *breaker) refuse() error {
	now := time.Now()
	switch {
	case b.state == stateClosed, !b.trial && !now.Before(b.due):
		return nil
	case b.trial:
		return b.refused(now.Add(time.Second), "it is being tried with another mail")
	}
	return b.refused(b.due, "it is tried again at "+b.due.UTC().Format(time.RFC3339))
}

func (b *breaker) refused(until time.Time, then string) error {
	return &Refusal{Class: Channel, Step: StepBreaker, Until: until, Cause: fmt.Errorf("%w (%s); %s", errIll, b.last, then)}
}

// admit lets a mail through, as the trial where one is due.
func (b *breaker) admit() (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse(); err != nil {
		return false, err
	}
	if b.state == stateClosed {
		return false, nil
	}
	b.state, b.trial = stateHalfOpen, true
	return true, nil
}

// settle records how a mail that was admitted ended. A caller who left says nothing about the channel.
func (b *breaker) settle(ctx context.Context, err error, trial bool) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if trial {
		b.trial = false
	}
	var r *Refusal
	switch {
	case err == nil:
		return b.succeed(trial)
	case !errors.As(err, &r):
		return b.postpone(trial)
	case r.Class != Channel && r.Class != Unknown:
		return b.succeed(trial)
	case ctx.Err() != nil || r.Step == StepBreaker:
		return b.postpone(trial)
	}
	return b.fault(r, trial)
}

// postpone leaves the question open for the next mail.
func (b *breaker) postpone(trial bool) change {
	if trial {
		b.state = stateOpen
	}
	return unchanged
}

// succeed closes the breaker, by the trial alone: what began before it opened tells nothing.
func (b *breaker) succeed(trial bool) change {
	switch {
	case b.state == stateClosed:
		b.faults = 0
	case trial:
		b.state, b.faults, b.opens = stateClosed, 0, 0
		return recovered
	}
	return unchanged
}

func (b *breaker) fault(r *Refusal, trial bool) change {
	if b.state != stateClosed && !trial {
		return unchanged
	}
	b.last, b.lastAt = r.forPeople(), time.Now()
	b.faults++
	pause := b.pause << min(b.opens, maxDoublings)
	switch {
	case r.ours():
		pause = b.loginPause << min(b.opens, maxLoginDoublings)
	case !trial && b.faults < faultsToOpen:
		return unchanged
	}
	// Jitter, lest all processes try at the same moment.
	b.due = time.Now().Add(pause + time.Duration(rand.Float64()*0.2*float64(pause)))
	b.state, b.faults = stateOpen, 0
	b.opens++
	return opened
}

func (b *breaker) status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{State: b.state, LastFault: b.last, LastFaultAt: b.lastAt}
	if b.state == stateOpen {
		s.Until = b.due
	}
	return s
}

// ours says that the settings, ours or the server's, have to be mended by somebody, so that the next try would
// end the same.
func (r *Refusal) ours() bool {
	switch r.Code {
	case 530, 534, 535, 538:
		return true
	}
	var (
		certificate *tls.CertificateVerificationError
		noTLS       tls.RecordHeaderError
		theirs      *net.OpError
	)
	return errors.As(r.Cause, &certificate) || errors.As(r.Cause, &noTLS) ||
		errors.As(r.Cause, &theirs) && theirs.Op == "remote error" || // an alert of TLS
		errors.Is(r.Cause, errPlaintext) || errors.Is(r.Cause, errNoLogin) || errors.Is(r.Cause, errMechanisms)
}

var anAddress = regexp.MustCompile(`[^\s<>"']+@[^\s<>"']+`)

// forPeople is the error without addresses, which a server's reply may have.
func (r *Refusal) forPeople() string { return anAddress.ReplaceAllString(r.Error(), "…") }
