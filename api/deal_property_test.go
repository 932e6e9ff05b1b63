package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// legal is where a deal may go, written down once more.
var legal = map[string]string{
	"lead": "qualified proposal negotiation won lost", "qualified": "lead proposal negotiation won lost",
	"proposal": "lead qualified negotiation won lost", "negotiation": "lead qualified proposal won lost",
	"won": "", "lost": "lead qualified proposal negotiation",
}

// history is what clients were shown: all versions of the deals, and the patches that were accepted.
type history struct {
	sync.Mutex
	versions map[string]map[int64]DealView // by id
	accepted map[string]taken              // by request id
}

type taken struct {
	patch map[string]any
	deal  DealView // the answer
	sure  bool     // that it is the version after the one that the client had
}

// saw notes a version, which has to look the same to everybody.
func (h *history) saw(t *testing.T, d DealView) {
	h.Lock()
	defer h.Unlock()
	if h.versions[d.ID] == nil {
		h.versions[d.ID] = map[int64]DealView{}
	}
	if known, ok := h.versions[d.ID][d.Version]; ok && asJSON(t, known) != asJSON(t, d) {
		t.Errorf("version %d of %s was shown as\n%s\nand as\n%s", d.Version, d.ID, asJSON(t, known), asJSON(t, d))
	}
	h.versions[d.ID][d.Version] = d
}

func asJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// randomPatch is a change of one to three fields, which may be one that can't be made.
func randomPatch(r *rand.Rand, contacts []string) map[string]any {
	patch := map[string]any{}
	for range 1 + r.IntN(3) {
		switch r.IntN(8) {
		case 0, 1, 2:
			patch["stage"] = []string{"lead", "qualified", "proposal", "negotiation", "lost", "lost", "won"}[r.IntN(7)]
		case 3:
			patch["value"] = r.Int64N(5)
		case 4:
			patch["title"] = fmt.Sprint("deal ", r.IntN(5))
		case 5:
			patch["probability"] = r.IntN(101)
		case 6:
			patch["lost_reason"] = []any{nil, "price", "time"}[r.IntN(3)]
		case 7:
			patch["contact_id"] = contacts[r.IntN(len(contacts))]
		}
	}
	return patch
}

// Clients that change the same deals at the same time lose nothing, whatever they try, and the outbox tells
// what has been.
func TestDealsUnderManyHands(t *testing.T) {
	t.Parallel()
	const clients, patches = 6, 60
	g := newDealRig(t)
	contacts := []string{g.contact, g.insertContact(t, g.org)}
	h := history{versions: map[string]map[int64]DealView{}, accepted: map[string]taken{}}
	var ids []string
	for range 4 {
		d := g.post().want(201).deal()
		h.saw(t, d)
		ids = append(ids, d.ID)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(client)))
			for range patches {
				g.tryPatch(t, &h, ids[r.IntN(len(ids))], randomPatch(r, contacts), r.IntN(4) > 0)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		h.saw(t, g.call(t, g.key, "GET", "/api/deals/"+id, "").want(200).deal())
		facts := g.facts(t, id)
		// The outbox is in the order of transactions' beginnings; the versions say which fact is newer.
		slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(a.version(t), b.version(t)) })
		h.check(t, id, facts)
		checkStory(t, id, facts, h.versions[id])
	}
	for request, a := range h.accepted {
		if a.sure {
			t.Errorf("the outbox has nothing of %s, which made version %d of %s", request, a.deal.Version, a.deal.ID)
		}
	}
}

func (g *dealRig) tryPatch(t *testing.T, h *history, id string, patch map[string]any, match bool) {
	read := g.call(t, g.key, "GET", "/api/deals/"+id, "")
	was := read.deal()
	h.saw(t, was)
	var headers []string
	if match {
		headers = []string{"If-Match", read.header.Get("ETag")}
	}
	r := g.call(t, g.key, "PATCH", "/api/deals/"+id, asJSON(t, patch), headers...)
	switch r.status {
	case 200:
		is := r.deal()
		if match && is.Version > was.Version+1 {
			t.Errorf("a patch of version %d made %d", was.Version, is.Version)
		}
		h.saw(t, is)
		h.Lock()
		defer h.Unlock()
		h.accepted[r.header.Get("X-Request-ID")] = taken{patch, is, match && is.Version > was.Version}
	case 409, 412, 422:
	default:
		t.Errorf("%s: %d %s", r.what, r.status, r.body)
	}
}

// check wants each version that there are facts of to be made from the one before by an accepted patch, and
// by nothing else.
func (h *history) check(t *testing.T, id string, facts []fact) {
	t.Helper()
	for _, f := range facts[1:] {
		a, v := h.accepted[f.correlation], f.version(t)
		if v == a.deal.Version && v > 1 && h.versions[id][v-1].ID != "" {
			checkPatch(t, h.versions[id][v-1], a)
		} else {
			t.Errorf("version %d of %s was made by %s, which was answered %+v", v, id, f.correlation, a.deal)
		}
		a.sure = false
		h.accepted[f.correlation] = a
	}
}

func (f fact) version(t testing.TB) int64 {
	t.Helper()
	var data struct{ Version int64 }
	if err := json.Unmarshal([]byte(f.data), &data); err != nil {
		t.Fatal(err)
	}
	return data.Version
}

// checkPatch wants the answer to be the version before with the patch, and what follows the stage.
func checkPatch(t *testing.T, was DealView, a taken) {
	t.Helper()
	follows := map[string]bool{"probability": true, "lost_reason": true, "status": true, "closed_at": true, "stage_changed_at": true}
	before, after := fieldsOf(t, was), fieldsOf(t, a.deal)
	for name := range after {
		want, given := a.patch[name]
		switch {
		case name == "version" || name == "updated_at":
		case given && asJSON(t, want) != after[name]:
			t.Errorf("version %d of %s: %s is %s after %v", a.deal.Version, was.ID, name, after[name], a.patch)
		case !given && before[name] != after[name] && !(was.Stage != a.deal.Stage && follows[name]):
			t.Errorf("version %d of %s: %s went from %s to %s by %v", a.deal.Version, was.ID, name, before[name], after[name], a.patch)
		}
	}
}

func fieldsOf(t *testing.T, d DealView) map[string]string {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(asJSON(t, d)), &raw); err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for name, value := range raw {
		fields[name] = string(value)
	}
	return fields
}

// checkStory wants the facts to tell what clients saw: no version left out, no move that is not allowed, and
// every end said.
func checkStory(t *testing.T, id string, facts []fact, versions map[int64]DealView) {
	t.Helper()
	at, stage := int64(0), ""
	ends := map[int64]string{}
	for _, f := range facts {
		var data struct {
			Version         int64
			Stage, From, To string
		}
		if err := json.Unmarshal([]byte(f.data), &data); err != nil {
			t.Fatal(err)
		}
		if data.Version != at && data.Version != at+1 {
			t.Errorf("%s: %s has version %d after %d", id, f.typ, data.Version, at)
		}
		at = data.Version
		switch f.typ {
		case "deal.created":
			stage = data.Stage
		case "deal.stage_changed":
			if data.From != stage || !slices.Contains(strings.Fields(legal[stage]), data.To) {
				t.Errorf("%s: from %s it went from %s to %s", id, stage, data.From, data.To)
			}
			stage = data.To
		case "deal.won", "deal.lost":
			ends[at] = strings.TrimPrefix(f.typ, "deal.")
		}
		if got := versions[at].Stage; f.typ == "deal.stage_changed" && got != stage {
			t.Errorf("%s: version %d is in %s, its fact says %s", id, at, got, stage)
		}
	}
	if n := slices.Max(slices.Collect(maps.Keys(versions))); at != n || versions[n].Stage != stage {
		t.Errorf("%s: the outbox ends at version %d in %s, the deal at %d in %s", id, at, stage, n, versions[n].Stage)
	}
	for v := int64(2); v <= at; v++ {
		want := ""
		if was, is := versions[v-1], versions[v]; was.Stage != is.Stage && is.Status != "open" {
			want = is.Status
		}
		if ends[v] != want {
			t.Errorf("%s: version %d has the end %q, want %q", id, v, ends[v], want)
		}
	}
}
