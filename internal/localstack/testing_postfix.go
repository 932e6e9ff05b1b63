package localstack

import (
	"context"
	"errors"
	"testing"
)

var sharedPostfix shared[*Postfix]

// TestPostfix is the real mail server that all tests of one test binary share; no test may kill it. Where its
// programs are missing the test fails; where the tests don't run as root it fails in CI and is skipped elsewhere.
func TestPostfix(tb testing.TB) *Postfix {
	tb.Helper()
	requirePostfix(tb)
	return sharedPostfix.get(tb, "postfix", func(ctx context.Context, dir string) (*Postfix, error) {
		return StartPostfix(ctx, PostfixOptions{Dir: dir})
	})
}

// NewPostfix is a private one, which the test may kill or set up as it likes; o.Dir is set here.
func NewPostfix(tb testing.TB, o PostfixOptions) *Postfix {
	tb.Helper()
	requirePostfix(tb)
	return private(tb, "postfix", func(ctx context.Context, dir string) (*Postfix, error) {
		o.Dir = dir
		return StartPostfix(ctx, o)
	})
}

func requirePostfix(tb testing.TB) {
	tb.Helper()
	err := PostfixMissing()
	switch {
	case err == nil:
	case errors.Is(err, ErrNotRoot) && !insideCI():
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}
