package cachetag

import (
	"context"
	"fmt"
)

// everything matches every key of the cache, of all organizations.
const everything = "payaid:cache:*"

const forgetAtOnce = 500

// Forget makes all void that is cached, of all organizations, for all processes: for when the database was replaced
// by a copy of before, and what is cached is from a future that it does not have. When it returns nil, nothing that
// was loaded before it began is served again. Its time grows with the cache, and its caller bounds it by ctx.
//
// Taking the values away would not be enough, as one that was loaded before may be written after; it is the stamps
// without which nothing counts.
func (c *Cache) Forget(ctx context.Context) error {
	if c == nil {
		return nil
	}
	for cursor := uint64(0); ; {
		keys, next, err := c.client.Scan(ctx, cursor, everything, forgetAtOnce).Result()
		if err == nil && len(keys) > 0 {
			err = c.client.Unlink(ctx, keys...).Err()
		}
		if err != nil {
			return fmt.Errorf("forget what is cached: %w", err)
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
