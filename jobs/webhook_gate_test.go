package jobs

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whoever has fewer under way than are free gets in, if it is quick or the slow ones leave room; and nobody else does.
func TestGateShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(*testing.T) {
			slots := rapid.IntRange(1, 24).Draw(rt, "slots")
			g := newGate(slots)
			type through struct {
				p    *passage
				lane string
			}
			var under []through
			for range rapid.IntRange(1, 80).Draw(rt, "steps") {
				switch rapid.IntRange(0, 2).Draw(rt, "what") {
				case 0:
					lane := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "lane")
					most := rapid.IntRange(1, 10).Draw(rt, "most")
					told := standing(rapid.IntRange(0, 2).Draw(rt, "told"))
					l := g.lanes[lane]
					if l != nil {
						l.told = told
					}
					mine, fresh, bad, own := 0, 0, 0, told
					for _, u := range under {
						if u.lane == lane {
							mine++
						}
						switch g.lanes[u.lane].standing(time.Now()) {
						case standingNew:
							fresh++
						case standingBad:
							bad++
						}
					}
					if l != nil {
						own = l.standing(time.Now())
					}
					want := mine < most && mine < slots-len(under)
					switch own {
					case standingNew:
						want = want && mine == 0 && fresh+bad < slots-slots/4
					case standingBad:
						want = want && bad < max(1, slots/2) && fresh+bad < slots-slots/4
					}
					p := g.enter(lane, lane, told, most)
					if (p != nil) != want {
						rt.Fatalf("lane %s (%d) with %d of %d under way, %d slots, %d new, %d bad: let through %v", lane, own, mine, len(under), slots, fresh, bad, p != nil)
					}
					if p != nil {
						under = append(under, through{p, lane})
					}
				case 1:
					if len(under) == 0 {
						continue
					}
					i := rapid.IntRange(0, len(under)-1).Draw(rt, "which")
					if rapid.IntRange(0, 9).Draw(rt, "back") == 0 {
						under[i].p.back()
					} else {
						under[i].p.leave(rapid.Bool().Draw(rt, "ok"))
					}
					under = append(under[:i], under[i+1:]...)
				case 2:
					time.Sleep(time.Duration(rapid.IntRange(0, 70_000).Draw(rt, "ms")) * time.Millisecond)
				}
				if g.running != len(under) || g.running > slots {
					rt.Fatalf("%d under way of %d slots, the gate counts %d", len(under), slots, g.running)
				}
			}
			for _, u := range under {
				u.p.leave(false)
			}
			time.Sleep(2 * quickFor)
			if p := g.enter("last", "last", standingNew, 1); p == nil || len(g.lanes) != 1 {
				rt.Fatalf("an empty gate knows %d lanes, lets through %v", len(g.lanes), p != nil)
			}
		})
	})
}

// However many lanes hang, quick ones get slots at once, and new ones are tried.
func TestGateKeepsSlotsForTheQuick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(20)
		hanging := 0
		for i := range 40 {
			if g.enter("new"+strconv.Itoa(i), "new"+strconv.Itoa(i), standingNew, 2) != nil {
				hanging++
			}
		}
		if hanging != 15 {
			t.Errorf("%d of 20 slots are with lanes that nobody knows, want 15", hanging)
		}
		if g.enter("known", "known", standingGood, 10) == nil {
			t.Error("there is no slot for a lane that works")
		}
		if g.enter("bad", "bad", standingBad, 10) != nil {
			t.Error("a lane that fails gets one of the last slots")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGate(20)
		g.enter("quick", "quick", standingNew, 2).leave(true)
		hanging := 0
		for i := range 40 {
			for g.enter("bad"+strconv.Itoa(i), "bad"+strconv.Itoa(i), standingBad, 2) != nil {
				hanging++
			}
		}
		if hanging != 10 {
			t.Errorf("%d of 20 slots hang, want 10", hanging)
		}
		if g.enter("fresh", "fresh", standingNew, 2) == nil {
			t.Error("there is no slot for a lane that nobody knows")
		}
		var inside []*passage
		for range 8 {
			if p := g.enter("quick", "quick", standingNew, 10); p != nil {
				inside = append(inside, p)
			}
		}
		if len(inside) != 5 {
			t.Errorf("the quick one has %d slots beside 11, want half of the rest", len(inside))
		}
		// When it hangs as well it is as the others.
		time.Sleep(quickWithin + time.Millisecond)
		inside[0].back()
		if g.enter("quick", "quick", standingGood, 10) != nil {
			t.Error("a lane that has come to hang gets more slots")
		}
	})
}

// However many lanes of one organization come to hang at once, well as they were, others have slots.
func TestGateKeepsSlotsForOtherOrganizations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(20)
		g.enter("big", "proven", standingGood, 10).leave(true)
		hanging := 0
		for i := range 40 {
			for g.enter("big", "hangs"+strconv.Itoa(i), standingGood, 10) != nil {
				hanging++
			}
		}
		if hanging != 10 {
			t.Errorf("one organization has %d of 20 slots, want 10", hanging)
		}
		time.Sleep(quickWithin + time.Millisecond)
		if g.enter("small", "good", standingGood, 10) == nil || g.enter("small", "new", standingNew, 2) == nil {
			t.Error("there is no slot for another organization")
		}
		if g.enter("big", "proven", standingGood, 10) == nil || !g.knows("proven") || g.knows("hangs0") {
			t.Error("there is no slot for a lane that works")
		}
	})
}

func TestGateKnowsLanes(t *testing.T) {
	t.Parallel()
	enter := func(g *gate) *passage { return g.enter("l", "l", standingNew, 1) }
	for name, c := range map[string]struct {
		what func(*gate)
		want standing
	}{
		"nothing":         {func(g *gate) { enter(g).back() }, standingNew},
		"a quick success": {func(g *gate) { enter(g).leave(true) }, standingGood},
		"long ago":        {func(g *gate) { enter(g).leave(true); time.Sleep(quickFor + time.Second) }, standingNew},
		"a slow success":  {func(g *gate) { enter(g).leave(true); p := enter(g); time.Sleep(3 * time.Second); p.leave(true) }, standingBad},
		"it hangs":        {func(g *gate) { enter(g).leave(true); enter(g); time.Sleep(3 * time.Second) }, standingBad},
		"a failure":       {func(g *gate) { enter(g).leave(true); enter(g).leave(false) }, standingBad},
		"not tried":       {func(g *gate) { enter(g).leave(true); enter(g).back() }, standingGood},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate(4)
				c.what(g)
				if got := g.lanes["l"].standing(time.Now()); got != c.want {
					t.Errorf("it is %d, want %d", got, c.want)
				}
			})
		})
	}
}

// Who has callbacks made to many thousand receivers in a minute doesn't make each delivery of the others dearer.
func TestGateCostsTheSameWithManyLanes(t *testing.T) {
	t.Parallel()
	g := newGate(20)
	for i := range 30_000 {
		g.enter("lane "+strconv.Itoa(i), "lane "+strconv.Itoa(i), standingNew, 2).leave(false)
	}
	// Going through all of them takes several times as long. The best of several stretches is one in which nothing else had the
	// machine.
	const looks = 400
	best := time.Hour
	for range 5 {
		began := time.Now()
		for i := range looks {
			p := g.enter("new "+strconv.Itoa(i), "new "+strconv.Itoa(i), standingNew, 2)
			if p == nil {
				t.Fatal("a lane doesn't get in though nothing is under way")
			}
			p.back()
		}
		best = min(best, time.Since(began))
	}
	if best > looks*100*time.Microsecond {
		t.Errorf("%d looks took %s", looks, best)
	}
	if len(g.busy) != 0 || g.running != 0 {
		t.Errorf("%d lanes are busy with %d", len(g.busy), g.running)
	}
}
