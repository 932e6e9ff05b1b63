//go:build deploytest

package deploytest

import (
	"context"
	"strings"
	"testing"
	"time"
)

// roll brings another image of PayAid in, by the script of the runbook, while clients ask all the time and none of
// their requests may fail.
func (d *deployed) roll(t *testing.T, image string, command ...string) {
	ctx := within(t, 10*time.Minute)
	hammering, cancel := context.WithCancel(ctx)
	defer cancel()
	readers := []*hammer{{api: d.own}, {api: d.own}, {api: d.own}}
	done := make(chan struct{})
	for _, h := range readers {
		go func() { h.run(hammering, 50*time.Millisecond); done <- struct{}{} }()
	}
	began := time.Now()
	out, err := d.run(ctx, "./upgrade.sh", command...)
	took := time.Since(began)
	cancel()
	t.Logf("upgrade.sh:\n%s", out)
	if err != nil {
		t.Error(err)
	}
	asked, failed := 0, []string{}
	for _, h := range readers {
		<-done
		asked += h.asked
		failed = append(failed, h.failed...)
	}
	if len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(failed), asked, failed[:min(len(failed), 5)])
	}
	_, tag, _ := strings.Cut(image, ":")
	list, err := d.containers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if ours(c) && c.State.Status == "running" && !strings.HasSuffix(c.Config.Image, tag) {
			t.Errorf("%s still runs %s", c.Name, c.Config.Image)
		}
	}
	d.report.add("./upgrade.sh "+strings.Join(command, " "), "in %s under %d requests, of which %d failed", seconds(took), asked, len(failed))
}
