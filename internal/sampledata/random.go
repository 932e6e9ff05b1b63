package sampledata

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// A kind of row, each with its own stream of chance.
type kind uint64

const (
	organizationKind kind = iota + 1
	contactKind
	dealKind
	invoiceKind
	paymentKind
	jobKind
	eventKind
	kinds
)

// mix spreads a number over 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance gives every row dice of its own, which depend on the seed, the kind and the place of the row alone:
// so a deal can look up its contact without anybody having kept it.
type chance struct {
	seed    uint64
	sources [kinds]rand.PCG
	dice    [kinds]dice
}

func newChance(seed uint64) *chance {
	c := &chance{seed: seed}
	for k := range c.sources {
		c.dice[k].Rand = rand.New(&c.sources[k])
	}
	return c
}

func (c *chance) key(k kind, i int) uint64 { return mix(mix(c.seed+uint64(k)) + uint64(i)) }

// of gives the dice of a row, which are good until those of another row of the kind are asked for.
func (c *chance) of(k kind, i int) dice {
	key := c.key(k, i)
	c.sources[k].Seed(key, mix(key))
	return c.dice[k]
}

// id is the row's UUIDv7 (RFC 9562), of the time at which it was made.
func (c *chance) id(k kind, i int, at time.Time) uuid.UUID {
	a := mix(c.key(k, i) ^ 0xa5a5)
	b := mix(a)
	var id uuid.UUID
	ms := uint64(at.UnixMilli())
	for n := range 6 {
		id[n] = byte(ms >> (40 - 8*n))
	}
	id[6], id[7] = 0x70|byte(a>>8)&0x0f, byte(a)
	for n := range 8 {
		id[8+n] = byte(b >> (56 - 8*n))
	}
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// dice are one row's.
type dice struct{ *rand.Rand }

// between is a whole number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// percent happens n times in a hundred.
func (d dice) percent(n int) bool { return d.IntN(100) < n }

// weighted is an index, each as often as its weight says.
func (d dice) weighted(weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := d.IntN(total)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return len(weights) - 1
}

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }
