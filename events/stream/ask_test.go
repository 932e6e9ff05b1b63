package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// silentFor answers those who ask after a while, and nobody who asked before.
func silentFor(silence time.Duration) func(context.Context) (string, error) {
	began := time.Now()
	return func(ctx context.Context) (string, error) {
		if time.Since(began) >= silence {
			return "here", nil
		}
		<-ctx.Done()
		return "", ctx.Err()
	}
}

func TestAskAgain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		silence, took time.Duration
		answer        string
	}{
		"an answer at once":           {0, 0, "here"},
		"no leader for a moment":      {200 * time.Millisecond, askEvery, "here"},
		"no leader for a while":       {2500 * time.Millisecond, 3 * askEvery, "here"},
		"no leader for longer":        {time.Minute, askAtMost, ""},
		"no leader until it gives up": {askAtMost, askAtMost, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				answer, err := ask(t.Context(), silentFor(row.silence))
				if answer != row.answer || (err == nil) != (row.answer != "") || time.Since(began) != row.took {
					t.Errorf("got %q, %v after %s; want %q after %s", answer, err, time.Since(began), row.answer, row.took)
				}
			})
		})
	}
}

// A disk that stalls answers late what it was asked first; the last try waits as long as it may.
func TestTheLastTryWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(1500 * time.Millisecond):
				return "here", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		if answer, err := ask(t.Context(), slow); answer != "here" {
			t.Errorf("got %q, %v", answer, err)
		}
	})
}

func TestAskTakesNoForAnAnswer(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	asked := 0
	_, err := ask(t.Context(), func(context.Context) (string, error) {
		asked++
		return "", refused
	})
	if !errors.Is(err, refused) || asked != 1 {
		t.Errorf("asked %d times, and got %v", asked, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	asked = 0
	_, err = ask(ended, func(ctx context.Context) (string, error) {
		asked++
		return "", ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("after the end it asked %d times, and got %v", asked, err)
	}
}
