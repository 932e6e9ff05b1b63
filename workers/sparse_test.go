package workers

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payaid/payaid/internal/telemetry"
)

// What River says of every fetch while the database is away is told now and then, with how much was left out.
func TestRiverIsToldSparsely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		log := slog.New(newSparse(slog.NewTextHandler(&b, nil)))
		for range 5 {
			log.With("client", 1).Warn("fetch failed")
			log.Info("of no interest")
		}
		log.Error("other")
		time.Sleep(telemetry.SparseEvery)
		log.WithGroup("g").Warn("fetch failed")
		got := b.String()
		if strings.Count(got, "fetch failed") != 2 || strings.Count(got, "other") != 1 || !strings.Contains(got, "left_out=4") || strings.Contains(got, "interest") {
			t.Errorf("got %s", got)
		}
	})
}
