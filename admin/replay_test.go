package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/api"
)

// countingReplayer plans until one moment, and notes what it is told to start.
type countingReplayer struct {
	api.Replayer
	until time.Time
	spans []api.ReplaySpan
}

func (f *countingReplayer) Plan(_ context.Context, _ api.ReplaySpan) (api.ReplayPlan, error) {
	return api.ReplayPlan{Until: f.until, Events: 3, Jobs: map[string]int{"mail.send": 2}}, nil
}

func (f *countingReplayer) Replay(_ context.Context, what api.ReplaySpan) (api.ReplayPlan, int, error) {
	f.spans = append(f.spans, what)
	return api.ReplayPlan{Until: what.Until}, 2, nil
}

// Who confirms a replay starts what the page counted, and nothing that has happened since.
func TestAReplayEndsWhereItsPreviewDid(t *testing.T) {
	t.Parallel()
	f := &countingReplayer{until: time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond)}
	g := newRig(t, func(c *api.Config) { c.Replayer = f })
	b := g.admin()
	form := url.Values{"since": {f.until.Add(-time.Hour).Format("2006-01-02T15:04")}, "types": {"deal.won"}}
	page := b.post("/admin/events/replay", form).wants(http.StatusOK, "2 jobs would start")
	b.post("/admin/events/replay", page.order()).wants(http.StatusOK, "2 jobs were started again")
	if len(f.spans) != 1 || !f.spans[0].Until.Equal(f.until) || strings.Join(f.spans[0].Types, " ") != "deal.won" {
		t.Errorf("started %+v, want until %s", f.spans, f.until)
	}
	b.post("/admin/events/replay", url.Values{"since": form["since"], "sure": {"yes"}}).wants(http.StatusUnprocessableEntity, "/until")
}
