package backup

import (
	"context"
	"io"
	"time"
)

// tellEvery keeps whoever is told of progress from doing nothing else.
const tellEvery = 200 * time.Millisecond

// A teller passes progress on a few times a second. One without a listener tells nobody. It is for one goroutine
// at a time.
type teller struct {
	to   func(Progress)
	last time.Time
	at   string
}

// say tells; of a new stage at once.
func (t *teller) say(stage string, done, total int64) {
	if t.to == nil || stage == t.at && done < total && time.Since(t.last) < tellEvery {
		return
	}
	t.at, t.last = stage, time.Now()
	t.to(Progress{Stage: stage, Bytes: done, Total: total})
}

// reader tells of what is read, and ends with ctx.
func (t *teller) reader(ctx context.Context, stage string, in io.Reader, total int64) io.Reader {
	return &told{ctx: ctx, in: in, tell: t, stage: stage, total: total}
}

type told struct {
	ctx         context.Context // of the reading
	in          io.Reader
	tell        *teller
	stage       string
	done, total int64
}

// Read implements io.Reader.
func (t *told) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.in.Read(p)
	t.done += int64(n)
	t.tell.say(t.stage, t.done, t.total)
	return n, err
}
