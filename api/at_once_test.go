package api

import (
	"fmt"
	"sync"
	"testing"
)

// A change without If-Match waits for those before it, however many there are: none is refused, none is lost.
func TestChangesAtOnceAllLand(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	deal := g.post(`"title":"x"`).want(201).deal()
	const writers, changes = 12, 4
	template := "/api/mail/templates/" + belongings["/api/mail/templates/"](g.rig, t, g.key)
	for path, body := range map[string]string{
		template:                `{"subject":"s%d"}`,
		"/api/deals/" + deal.ID: `{"value":%d}`, "/api/contacts/" + g.contact: `{"city":"c%d"}`, "/api/organization": `{"name":"n%d"}`,
	} {
		var at, end struct{ Version int64 }
		g.call(t, g.key, "GET", path, "").want(200).json(&at)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range changes {
					g.call(t, g.key, "PATCH", path, fmt.Sprintf(body, 1000+w*changes+i)).want(200)
				}
			})
		}
		wg.Wait()
		if g.call(t, g.key, "GET", path, "").want(200).json(&end); end.Version != at.Version+writers*changes {
			t.Errorf("%s: version %d after %d changes of version %d", path, end.Version, writers*changes, at.Version)
		}
	}
}
