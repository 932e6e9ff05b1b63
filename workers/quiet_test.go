package workers

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

// A worker and a relay are quiet when they have returned.
func TestNothingRunsAfterTheEnd(t *testing.T) {
	s := siteAt(t, newDatabase(t), localstack.NewNATS(t).URL())
	s.submit(nil)
	before := goleak.IgnoreCurrent()
	stopRelay := s.relay()
	_, stop := s.worker()
	s.ends(s.submit(nil).ID, store.Succeeded)
	stop()
	stopRelay()
	s.nc.Close() // and what it runs for its own
	goleak.VerifyNone(t, before,
		// The pools are the test's.
		goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"),
		goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).createIdleResources"))
}
