package cachetag

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// ErrAway means that Redis does not answer. What was asked of it is remembered and made up for.
var ErrAway = errors.New("redis is away")

// Bump makes void what an organization has under tags. When it returns nil, nothing that was loaded before
// is served again, by any process. Call it after the commit and before the answer: what a load that begins
// afterwards sees has the change.
//
// With an error Redis has not acknowledged it. It is remembered: until it was made, this process bypasses
// the cache for these tags. Other processes may serve from it until then, which is why a job does the same.
func (c *Cache) Bump(ctx context.Context, organization string, tags ...string) error {
	if c == nil || len(tags) == 0 {
		return nil
	}
	tags = sorted(tags)
	list := make([]debt, len(tags))
	for i, tag := range tags {
		list[i] = debt{organization, tag}
	}
	// What was owed for these tags until now is made good by this bump too.
	due := c.owed.numbers(list)
	err := ErrAway
	if c.health.up() {
		err = c.restamp(ctx, list)
	}
	if err != nil {
		c.owed.add(list)
		c.mendSoon()
		return fmt.Errorf("invalidate %q of %s: %w", tags, organization, err)
	}
	c.owed.settle(list, due)
	return nil
}

// restamp gives tags new stamps, in one round trip, where they have one. A tag that has none needs none: no
// value counts under it, as a value counts only with the stamp that the tag has now, and the stamp that
// somebody gives it later is unlike all before it. So what changes and was never read costs Redis no
// memory. A Redis without memory refuses new stamps, and does take stamps away, which is as good.
func (c *Cache) restamp(ctx context.Context, list []debt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.writeTimeout)
	defer cancel()
	pipe := c.client.Pipeline()
	for _, d := range list {
		pipe.SetXX(ctx, stampKey(d.organization, d.tag), newStamp(), stampTTL)
	}
	_, err := pipe.Exec(ctx)
	if redis.IsOOMError(err) {
		for _, d := range list {
			pipe.Del(ctx, stampKey(d.organization, d.tag))
		}
		_, err = pipe.Exec(ctx)
	}
	if c.noted(err) == nil {
		c.counts.bumps.Add(int64(len(list)))
	}
	return err
}
