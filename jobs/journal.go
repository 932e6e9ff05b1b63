package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// A Journal keeps what an attempt says that is worth knowing to an operator. It is written down with the attempt.
type Journal struct {
	mu    sync.Mutex
	lines []json.RawMessage
	bytes int
	left  int    // lines that had no room
	wait  string // why work that nobody waits for was put off
}

// How much a journal keeps.
const (
	journalLines = 200
	journalBytes = 64 << 10
	journalText  = 2 << 10 // of one message or value
)

type journalKey struct{}

type journaled struct {
	journal *Journal
	log     *slog.Logger
}

// Keeping gives a context for one attempt, in which LogOf writes to the log and into the journal. What is said of the
// attempt as a whole, attrs, is for the log alone.
func Keeping(ctx context.Context, log *slog.Logger, attrs ...any) (context.Context, *Journal) {
	j := &Journal{}
	h := journalHandler{next: log.With(attrs...).Handler(), journal: j}
	return context.WithValue(ctx, journalKey{}, journaled{j, slog.New(h)}), j
}

// LogOf is the logger of the attempt that the context is for; otherwise where there is none. Everything is kept,
// whatever the level of the log.
func LogOf(ctx context.Context, otherwise *slog.Logger) *slog.Logger {
	if j, ok := ctx.Value(journalKey{}).(journaled); ok {
		return j.log
	}
	return otherwise
}

// NotesOf writes into the journal of the attempt that the context is for, and not into the log: for what every attempt of
// a kind has to say, which operators look at one by one. Where there is none, it is lost.
func NotesOf(ctx context.Context) *slog.Logger {
	if j, ok := ctx.Value(journalKey{}).(journaled); ok {
		return slog.New(journalHandler{next: slog.DiscardHandler, journal: j.journal})
	}
	return slog.New(slog.DiscardHandler)
}

// waits notes why work of which nobody keeps a row is put off.
func waits(ctx context.Context, reason string) {
	if j, ok := ctx.Value(journalKey{}).(journaled); ok {
		j.journal.mu.Lock()
		defer j.journal.mu.Unlock()
		j.journal.wait = reason
	}
}

// Empty reports whether nothing was said.
func (j *Journal) Empty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines) == 0
}

// list is what was said, as JSON; nil: nothing.
func (j *Journal) list() json.RawMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) == 0 {
		return nil
	}
	lines := j.lines
	if j.left > 0 {
		lines = append(lines[:len(lines):len(lines)], encodeLine(journalLine{At: time.Now().UTC(), Level: "WARN",
			Message: fmt.Sprintf("%d more lines were left out", j.left)}))
	}
	data, err := json.Marshal(lines)
	if err != nil {
		return nil // each of them was encoded before
	}
	return data
}

func (j *Journal) add(l journalLine) {
	data := encodeLine(l)
	j.mu.Lock()
	defer j.mu.Unlock()
	if data == nil || len(j.lines) >= journalLines || j.bytes+len(data) > journalBytes {
		j.left++
		return
	}
	j.lines = append(j.lines, data)
	j.bytes += len(data)
}

type journalLine struct {
	At      time.Time      `json:"at"`
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Attrs   map[string]any `json:"attrs"`
}

func encodeLine(l journalLine) json.RawMessage {
	data, err := json.Marshal(l)
	if err != nil {
		return nil
	}
	return data
}

// journalHandler passes on what the log wants, and keeps all.
type journalHandler struct {
	next    slog.Handler
	journal *Journal
	attrs   []slog.Attr // with the names of their groups
	group   string
}

// Enabled implements slog.Handler.
func (h journalHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	l := journalLine{At: r.Time.UTC(), Level: r.Level.String(), Message: revealing(r.Message, journalText), Attrs: map[string]any{}}
	for _, a := range h.attrs {
		keepAttr(l.Attrs, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		keepAttr(l.Attrs, h.group, a)
		return true
	})
	h.journal.add(l)
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.next = h.next.WithAttrs(attrs)
	h.attrs = h.attrs[:len(h.attrs):len(h.attrs)]
	for _, a := range attrs {
		h.attrs = append(h.attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return h
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	h.next = h.next.WithGroup(name)
	h.group += name + "."
	return h
}

func keepAttr(attrs map[string]any, group string, a slog.Attr) {
	key := store.Storable(group+a.Key, 100)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindGroup:
		for _, inner := range v.Group() {
			keepAttr(attrs, key+".", inner)
		}
	case slog.KindBool, slog.KindInt64, slog.KindUint64:
		attrs[key] = v.Any()
	case slog.KindTime:
		attrs[key] = v.Time().UTC().Format(time.RFC3339Nano)
	default:
		attrs[key] = revealing(v.String(), journalText)
	}
}

var (
	aUUID      = regexp.MustCompile(`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`)
	ofURL      = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/@"'<>?#]*@)?([^\s"'<>?#]*)(?:[?#][^\s"'<>]*)?`)
	credential = regexp.MustCompile(`\b(?:pay_|whsec_|gsk_|sk-)[A-Za-z0-9+/=_-]{8,}|(?i)\b(?:bearer|basic) [A-Za-z0-9+/=._~-]{8,}`)
)

// revealing is of a text what the operator may read openly: no addresses and numbers of people, nothing that opens a
// door, no more than so many bytes. Ids are left as they are, though some look like numbers that one can dial.
func revealing(s string, most int) string {
	s = store.Storable(s, 4*most)
	s = ofURL.ReplaceAllString(s, "$1$2")
	s = credential.ReplaceAllString(s, "[secret]")
	var b strings.Builder
	end := 0
	for _, at := range aUUID.FindAllStringIndex(s, -1) {
		b.WriteString(shown(s[end:at[0]], len(s)+1))
		b.WriteString(s[at[0]:at[1]])
		end = at[1]
	}
	b.WriteString(shown(s[end:], len(s)+1))
	return store.Storable(b.String(), most)
}
