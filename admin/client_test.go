package admin

import (
	"context"

	"github.com/payaid/payaid/operator"
)

// client asks the API from outside, as a script does.
type client struct{ url, key string }

func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	return (&operator.Client{URL: c.url, Key: c.key}).Do(ctx, method, path, in, out)
}
