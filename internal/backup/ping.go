package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pingTime is how long a service that counts pings may take. Nobody waits for it longer than that.
const pingTime = 10 * time.Second

// pingTries is how often it is asked: one ping that is lost on the way is an alarm in the night.
const pingTries = 3

// PingGood tells the service at PingURL that there is a backup, and what it has. A service that misses it in its time
// raises an alarm, which is what no machine can do about itself when it is down. Without a PingURL nobody is told.
//
// A service that can't be reached changes nothing about the backup; the error is for the log, without the address,
// which is a secret.
func (k *Keeper) PingGood(ctx context.Context, m Manifest, v *Verification) error {
	said := fmt.Sprintf("%s: %s, %d tables, %d rows, made on %s", m.Name, bytesText(m.Bytes), len(m.Tables), m.Rows(), m.Host)
	if v != nil && v.State == Passed {
		said += fmt.Sprintf("; restored for a try in %.0f s", v.RestoreSeconds)
	}
	return k.ping(ctx, "", said)
}

// PingFailed tells it at once that there is none, or that it is no good, with the code of the fault.
func (k *Keeper) PingFailed(ctx context.Context, err error) error {
	said := "internal: the log of the worker says why"
	if f := (*Fault)(nil); errors.As(err, &f) {
		said = f.Code + ": " + f.Detail + "; " + f.Remedy
	}
	return k.ping(ctx, "/fail", said)
}

func (k *Keeper) ping(ctx context.Context, path, said string) error {
	if k.PingURL == "" {
		return nil
	}
	u, err := url.Parse(k.PingURL)
	if err != nil {
		return errors.New("BACKUP_PING_URL is not a URL")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+path, ""
	ctx, stop := context.WithTimeout(ctx, pingTime)
	defer stop()
	for try := 1; ; try++ {
		again, err := k.pingOnce(ctx, u.String(), said)
		if err == nil || !again || try == pingTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * k.pingPause):
		}
	}
}

// stayHere has a client ask no other address than the one that it was given.
func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// pingOnce says whether another try may help. POST has room for what is to be said, and all such services take it.
func (k *Keeper) pingOnce(ctx context.Context, address, said string) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(plain(said)))
	if err != nil {
		return false, errors.New("ping: BACKUP_PING_URL is not a URL")
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	r.Header.Set("User-Agent", "PayAid")
	answer, err := k.pings.Do(r)
	if err != nil {
		var shows *url.Error
		if errors.As(err, &shows) {
			err = shows.Err // the rest is the address
		}
		return ctx.Err() == nil, fmt.Errorf("ping: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 4096) // so that the connection can be used again
	if answer.StatusCode/100 != 2 {
		return answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests, fmt.Errorf("ping: the service answers %d", answer.StatusCode)
	}
	return false, nil
}
