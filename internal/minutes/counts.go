package minutes

import (
	"maps"
	"slices"
	"time"
)

// Counts are what happened in a stretch of time. They add up, over minutes as over processes.
type Counts struct {
	Requests int64            `json:"requests,omitempty"` // that were answered
	Errors   int64            `json:"errors,omitempty"`   // of those, by a fault of ours: a status of 500 or above
	Probes   int64            `json:"probes,omitempty"`   // of all, those of machines that ask whether the process is well
	Gone     int64            `json:"gone,omitempty"`     // of all, those whose client hung up before the answer
	Times    Times            `json:"times"`              // of requests that are neither probes nor as long as their clients chose
	Slow     int64            `json:"slow,omitempty"`     // queries of the database that took long
	SlowTime time.Duration    `json:"slow_ns,omitempty"`  // these together
	Queues   map[string]Queue `json:"queues,omitempty"`   // by name
	// Kinds are by name too. Processes from before there were any leave none, so they may come to less than queues do.
	Kinds  map[string]Kind `json:"kinds,omitempty"`
	Blocks *Blocks         `json:"blocks,omitempty"` // the first sample since the statistics began
}

// A Queue is what became of a queue's jobs. Attempts that were put off count by that outcome, not as an end.
type Queue struct {
	Outcomes map[string]int64 `json:"outcomes"` // by how an attempt ended
	Waits    Times            `json:"waits"`    // from due to taken
	Times    Times            `json:"times"`    // of attempts
}

// Add takes in what became of jobs in another stretch. It shares nothing with it afterwards.
func (q *Queue) Add(o Queue) {
	if q.Outcomes == nil {
		q.Outcomes = make(map[string]int64, len(o.Outcomes))
	}
	for outcome, n := range o.Outcomes {
		q.Outcomes[outcome] += n
	}
	q.Waits.Add(o.Waits)
	q.Times.Add(o.Times)
}

// A Kind is what became of the jobs of a kind, by the same names.
type Kind struct {
	Queue    string           `json:"queue"`
	Outcomes map[string]int64 `json:"outcomes"`
	Times    Times            `json:"times"`
}

// Blocks are what the database says of its cache, since its statistics began. Two samples of one beginning give
// what happened between.
type Blocks struct {
	At    time.Time `json:"at"`
	Since time.Time `json:"since"` // the statistics; the zero time where the database has never begun anew
	Hit   int64     `json:"hit"`   // found in the cache
	Read  int64     `json:"read"`  // asked of the operating system
}

// before says that more can be told by b than by o: what is of older statistics can't be compared with the newest.
func (b Blocks) before(o Blocks) bool {
	if !b.Since.Equal(o.Since) {
		return b.Since.After(o.Since)
	}
	return b.At.Before(o.At)
}

// add takes in what others counted. It shares nothing with them afterwards.
func (c *Counts) add(o Counts) {
	c.Requests += o.Requests
	c.Errors += o.Errors
	c.Probes += o.Probes
	c.Gone += o.Gone
	c.Times.Add(o.Times)
	c.Slow += o.Slow
	c.SlowTime += o.SlowTime
	for name, q := range o.Queues {
		mine := c.queue(name)
		mine.Add(q)
		c.Queues[name] = mine
	}
	for name, k := range o.Kinds {
		mine := c.kind(name)
		mine.Queue = k.Queue
		for outcome, n := range k.Outcomes {
			mine.Outcomes[outcome] += n
		}
		mine.Times.Add(k.Times)
		c.Kinds[name] = mine
	}
	if o.Blocks != nil && (c.Blocks == nil || o.Blocks.before(*c.Blocks)) {
		first := *o.Blocks
		c.Blocks = &first
	}
}

func (c *Counts) queue(name string) Queue {
	q, ok := c.Queues[name]
	if !ok {
		q.Outcomes = make(map[string]int64)
		if c.Queues == nil {
			c.Queues = make(map[string]Queue)
		}
		c.Queues[name] = q
	}
	return q
}

func (c *Counts) kind(name string) Kind {
	k, ok := c.Kinds[name]
	if !ok {
		k.Outcomes = make(map[string]int64)
		if c.Kinds == nil {
			c.Kinds = make(map[string]Kind)
		}
		c.Kinds[name] = k
	}
	return k
}

func (c *Counts) clone() Counts {
	var out Counts
	out.add(*c)
	return out
}

// bounds are the upper ends of the classes of Times, in milliseconds. They never change: minutes that another
// version of the program counted are read by them too.
var bounds = [...]float64{1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000,
	3000, 5000, 10_000, 30_000, 60_000, 300_000}

// Times are how long things took. Percentiles of processes can't be averaged, so they are counted in classes whose
// ends are the same everywhere.
type Times struct {
	Count   int64         `json:"count,omitempty"`
	Sum     time.Duration `json:"sum_ns,omitempty"`
	Longest time.Duration `json:"longest_ns,omitempty"`
	// Classes counts by the bounds, and in the last place what is above all of them; nil: nothing.
	Classes []int64 `json:"classes,omitempty"`
}

func (t *Times) note(took time.Duration) {
	if t.Classes == nil {
		t.Classes = make([]int64, len(bounds)+1)
	}
	took = max(took, 0)
	t.Count++
	t.Sum += took
	t.Longest = max(t.Longest, took)
	ms := float64(took) / float64(time.Millisecond)
	place, _ := slices.BinarySearch(bounds[:], ms)
	t.Classes[place]++
}

// Add takes in times of another stretch, or another process. It shares nothing with them afterwards.
func (t *Times) Add(o Times) {
	t.Count += o.Count
	t.Sum += o.Sum
	t.Longest = max(t.Longest, o.Longest)
	if len(o.Classes) > len(t.Classes) {
		t.Classes = append(slices.Clip(t.Classes), make([]int64, len(o.Classes)-len(t.Classes))...)
	}
	for i, n := range o.Classes {
		t.Classes[i] += n
	}
}

// Average is the mean; false: there was nothing.
func (t Times) Average() (time.Duration, bool) {
	if t.Count == 0 {
		return 0, false
	}
	return t.Sum / time.Duration(t.Count), true
}

// Percentile estimates below what a share of them stayed, such as 0.95: exactly by class, and within it as if they
// lay evenly. False: there was nothing.
func (t Times) Percentile(share float64) (time.Duration, bool) {
	rank, below := share*float64(t.Count), int64(0)
	longest := float64(t.Longest) / float64(time.Millisecond)
	for i, n := range t.Classes {
		if n == 0 || float64(below+n) < rank {
			below += n
			continue
		}
		lower, upper := 0.0, longest
		if i > 0 {
			lower = bounds[min(i, len(bounds))-1]
		}
		if i < len(bounds) {
			upper = min(bounds[i], longest)
		}
		ms := lower + max(0, upper-lower)*max(0, rank-float64(below))/float64(n)
		return time.Duration(ms * float64(time.Millisecond)), true
	}
	return 0, false
}

// Ended is how many attempts ended in any of some outcomes.
func (q Queue) Ended(outcomes ...string) (n int64) {
	for _, o := range outcomes {
		n += q.Outcomes[o]
	}
	return n
}

// QueueNames lists the queues of which something was counted.
func (c Counts) QueueNames() []string { return slices.Sorted(maps.Keys(c.Queues)) }
