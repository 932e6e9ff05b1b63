package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	// endTimeout bounds one try to write something down. It goes on when the job's own context is over.
	endTimeout = 10 * time.Second
	// persistWithin is how long something is kept that can't be written down: longer than Postgres takes
	// to start again. An answer that was thrown away would be asked, and paid, for again.
	persistWithin = time.Minute
)

// errUnencodable is wrapped by what is wrong with a result that has no JSON.
var errUnencodable = errors.New("the result has no JSON")

// persist calls do until it works or can't, for as long as the database may be away.
func persist(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistWithin)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		once, stop := context.WithTimeout(ctx, endTimeout)
		err := do(once)
		stop()
		if err == nil || final(err) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

// final reports whether trying again would come to the same.
func final(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrEffectDone) ||
		errors.Is(err, errUnencodable) || store.IsRefusal(err)
}
