package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/cachetag"
)

// Every fact that changes what is cached starts one invalidation, of its organization, and no other fact
// starts any.
func TestFactsStartInvalidations(t *testing.T) {
	t.Parallel()
	table := All(Deps{})
	for _, k := range events.Catalogue() {
		var got []string
		for _, insert := range Route(table, events.Envelope{Type: k.Type, OrganizationID: "o"}, k.Fact) {
			if insert.Args.Kind() != "cache.invalidate" {
				continue
			}
			args, err := json.Marshal(insert.Args)
			if err != nil {
				t.Fatal(err)
			}
			if insert.InsertOpts.Queue != "cache" || insert.InsertOpts.MaxAttempts != invalidateTagsSpec.MaxAttempts {
				t.Errorf("%s: inserted with %+v", k.Type, insert.InsertOpts)
			}
			got = append(got, string(args))
		}
		want := ""
		if tags := cachetag.TagsOf(k.Fact); tags != nil {
			// No job_id: what looks for the rows of jobs must not take it for one.
			want = `{"organization_id":"o","tags":["` + strings.Join(tags, `","`) + `"]}`
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s starts %s, want %s", k.Type, got, want)
		}
	}
}

// What a client asks for is of the same kind, and is told apart by its job.
func TestARequestedInvalidation(t *testing.T) {
	t.Parallel()
	f := events.JobRequested{JobID: "j", Kind: "cache.invalidate", Queue: "cache", Run: 1, Priority: 2, MaxAttempts: 25}
	inserts := Route(All(Deps{}), events.Envelope{OrganizationID: "o"}, f)
	if len(inserts) != 1 {
		t.Fatalf("%d inserts", len(inserts))
	}
	args, err := json.Marshal(inserts[0].Args)
	if err != nil || string(args) != `{"job_id":"j","organization_id":"o","run":1}` {
		t.Errorf("inserted %s, %v", args, err)
	}
}

func TestAgeing(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]time.Duration{
		-time.Hour: time.Second, 0: time.Second, 10 * time.Second: 10 * time.Second, time.Minute: time.Minute, 48 * time.Hour: time.Minute,
	} {
		for range 20 {
			if got := ageing(age); got < want*9/10 || got > want*11/10 {
				t.Errorf("after %s: a pause of %s, want %s and a tenth to both sides", age, got, want)
			}
		}
	}
}
