package cachetag

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

// A value in Redis is its fence, a checksum and then itself. The fence is all that must be true for the value to
// count:
//
//	1 byte   the format
//	8 bytes  the epoch of the server
//	8 bytes  hash of the tags, so that an entry whose tags changed in a deploy is a miss
//	16 each  the stamps of the tags, in their order
//
// The checksum, 4 bytes, is of fence and value: one that was cut or changed on its way is a miss.
const (
	format   = "\x02"
	stampLen = 16
	sumLen   = crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is a value as Redis keeps it.
func sealed(fence string, value []byte) []byte {
	stored := append(make([]byte, 0, len(fence)+sumLen+len(value)), fence...)
	sum := crc32.Update(crc32.Checksum(stored, castagnoli), castagnoli, value)
	return append(binary.BigEndian.AppendUint32(stored, sum), value...)
}

// unsealed is the value of what Redis kept, if it is whole and under this fence.
func unsealed(fence, stored string) (value []byte, ok bool) {
	rest, ok := strings.CutPrefix(stored, fence)
	if !ok || len(rest) < sumLen {
		return nil, false
	}
	// Without a copy: nobody else has the string, and nobody may change the value.
	all := unsafe.Slice(unsafe.StringData(stored), len(stored))
	head, sum, value := all[:len(fence)], all[len(fence):len(fence)+sumLen], all[len(fence)+sumLen:]
	whole := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, value)
	return value, binary.BigEndian.Uint32(sum) == whole
}

// newStamp is unlike every stamp before.
func newStamp() string {
	b := make([]byte, stampLen)
	_, _ = rand.Read(b) // it never fails
	return string(b)
}

// prefix begins every key of an organization. The braces keep them in one slot of a cluster, so that one
// MGET can ask for them all.
func prefix(organization string) string { return "payaid:cache:{org:" + organization + "}:" }

func stampKey(organization, tag string) string { return prefix(organization) + "tag:" + tag }

func (e Entry) key() string {
	h := sha256.New()
	h.Write([]byte(e.Version + "\n" + e.Key))
	return prefix(e.Organization) + e.Name + ":" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// keys are what a read asks for: the value, then the stamps.
func (e Entry) keys() []string {
	keys := append(make([]string, 0, 1+len(e.Tags)), e.key())
	for _, tag := range e.Tags {
		keys = append(keys, stampKey(e.Organization, tag))
	}
	return keys
}

func tagsHash(tags []string) string {
	sum := sha256.Sum256([]byte(strings.Join(tags, "\x00")))
	return string(sum[:8])
}

// sorted gives each tag once, in the one order.
func sorted(tags []string) []string {
	if slices.IsSorted(tags) && len(slices.Compact(slices.Clone(tags))) == len(tags) {
		return tags
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	return slices.Compact(tags)
}

// A sight is what a look found.
type sight struct {
	keys  []string
	fence string // what a value that is loaded from now on has to carry
	hit   bool
	value []byte
}

// errEpoch means that the server was replaced during a look.
var errEpoch = errors.New("another server answers")

// look reads an entry and its stamps. Stamps that are missing are made.
func (c *Cache) look(ctx context.Context, e Entry) (sight, error) {
	s, err := c.lookOnce(ctx, e)
	if errors.Is(err, errEpoch) {
		s, err = c.lookOnce(ctx, e)
	}
	return s, err
}

func (c *Cache) lookOnce(ctx context.Context, e Entry) (sight, error) {
	// Taken before: a fence must not join stamps of one server with the epoch of another.
	epoch := c.epochs.now()
	keys := e.keys()
	found, err := c.looks.do(ctx, keys)
	if err != nil {
		return sight{}, err
	}
	stored, stamps := found[0], found[1:]
	if slices.Contains(stamps, "") {
		if stamps, err = c.makeStamps(ctx, keys[1:], stamps); err != nil {
			return sight{}, err
		}
		stored = ""
	}
	if epoch == "" || epoch != c.epochs.now() {
		return sight{}, errEpoch
	}
	s := sight{keys: keys, fence: format + epoch + tagsHash(e.Tags) + strings.Join(stamps, "")}
	s.value, s.hit = unsealed(s.fence, stored)
	return s, nil
}

// makeStamps gives tags that have none a stamp. Of several who do so at once the first wins.
func (c *Cache) makeStamps(ctx context.Context, keys, stamps []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.writeTimeout)
	defer cancel()
	pipe := c.client.Pipeline()
	for i, key := range keys {
		if stamps[i] == "" {
			pipe.SetNX(ctx, key, newStamp(), stampTTL)
		}
	}
	read := pipe.MGet(ctx, keys...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, c.noted(err)
	}
	made := texts(read.Val())
	for _, stamp := range made {
		if len(stamp) != stampLen {
			return nil, c.noted(errors.New("a stamp was lost while it was made"))
		}
	}
	return made, c.noted(nil)
}

// texts are the values of an answer to MGET, "" for what is not there. What has not the length of a stamp
// where there should be one is not ours.
func texts(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i], _ = v.(string)
	}
	return out
}

const (
	// Pipelines that run at once. Below this a look is sent as it comes; what comes meanwhile goes together.
	lookSenders = 2
	lookMost    = 64
)

// looks sends reads that come at the same time in one pipeline: for Redis, and for this process, most of
// what a small read costs is the system call. A read that comes alone waits for nobody.
type looks struct {
	send func([]*looking)

	mu      sync.Mutex
	senders int
	waiting []*looking
}

type looking struct {
	keys   []string
	values []string
	err    error
	turn   chan bool // buffered; true: send the next pipeline, false: done
}

// do reads keys. It goes on without its caller when ctx ends, as others may be in the same pipeline.
func (l *looks) do(ctx context.Context, keys []string) ([]string, error) {
	me := &looking{keys: keys, turn: make(chan bool, 1)}
	l.mu.Lock()
	lead := l.senders < lookSenders
	if lead {
		l.senders++
	} else {
		l.waiting = append(l.waiting, me)
	}
	l.mu.Unlock()
	if !lead {
		select {
		case lead = <-me.turn:
		case <-ctx.Done():
			l.leave(me)
			return nil, ctx.Err()
		}
	}
	if lead {
		l.lead(me)
	}
	return me.values, me.err
}

// lead sends what waits together with the leader's own, and hands its place to the next.
func (l *looks) lead(me *looking) {
	l.mu.Lock()
	n := min(len(l.waiting), lookMost-1)
	batch := append(make([]*looking, 0, n+1), me)
	batch = append(batch, l.waiting[:n]...)
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.mu.Unlock()
	// Deferred, so that nobody waits for ever for a leader that panicked.
	defer func() {
		for _, other := range batch[1:] {
			other.turn <- false
		}
		l.handOver()
	}()
	l.send(batch)
}

func (l *looks) handOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.senders--
		return
	}
	next := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	next.turn <- true
}

// leave takes back a look whose caller gave up; if the lead has come to it meanwhile, it goes on.
func (l *looks) leave(me *looking) {
	l.mu.Lock()
	at := slices.Index(l.waiting, me)
	if at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	l.mu.Unlock()
	if at >= 0 {
		return
	}
	// In a pipeline, or called to lead: the answer comes soon, as the pipeline is bounded.
	if <-me.turn {
		l.handOver()
	}
}

var errNotSent = errors.New("the pipeline was not carried through")

// sendLooks is one pipeline. It is bounded by itself, as it serves several requests.
func (c *Cache) sendLooks(batch []*looking) {
	ctx, cancel := context.WithTimeout(context.Background(), c.readTimeout)
	defer cancel()
	for _, one := range batch {
		one.err = errNotSent
	}
	read := make([]*redis.SliceCmd, len(batch))
	if len(batch) == 1 {
		read[0] = c.client.MGet(ctx, batch[0].keys...)
		_ = c.noted(read[0].Err())
	} else {
		pipe := c.client.Pipeline()
		for i, one := range batch {
			read[i] = pipe.MGet(ctx, one.keys...)
		}
		_, err := pipe.Exec(ctx)
		_ = c.noted(err)
	}
	for i, one := range batch {
		one.values, one.err = texts(read[i].Val()), read[i].Err()
	}
}
