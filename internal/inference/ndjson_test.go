package inference

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestChatLines(t *testing.T) {
	t.Parallel()
	const piece, end = `{"message":{"content":"Hot"}}` + "\n", `{"message":{"content":"."},"done":true,"done_reason":"stop"}`
	for name, tc := range map[string]struct {
		status         int
		said, class    string
		text           string
		done, cutShort bool
	}{
		"whole":                 {200, piece + end + "\n", "", "Hot.", true, false},
		"no newline at end":     {200, piece + end, "", "Hot.", true, false},
		"cut after a line":      {200, piece, "", "Hot", false, true},
		"cut within a line":     {200, piece + end[:20], "", "Hot", false, true},
		"half a line":           {200, piece + end[:20], Server, "Hot", false, false},
		"blank":                 {200, piece + "\n" + end, Server, "Hot", false, false},
		"error in the stream":   {200, piece + `{"error":"unexpected EOF"}` + "\n", Server, "Hot", false, false},
		"a long line":           {200, `{"message":{"content":"` + strings.Repeat("x", 1<<20) + `"},"done":true}`, "", strings.Repeat("x", 1<<20), true, false},
		"a line without end":    {200, strings.Repeat("x", maxLine+1), Server, "", false, false},
		"refused in words":      {404, "no\nsuch", Misconfigured, "", false, false},
		"refused in silence":    {503, "", Overloaded, "", false, false},
		"refused in many lines": {400, "{\"error\":\n\"exceeds the context length\"}", TooLarge, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.said)
				if tc.cutShort {
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
			}))
			defer server.Close()
			base, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			o := newOllama(base, func(string) time.Duration { return time.Minute })
			rep, f := o.chat(t.Context(), call{model: "m", messages: score().Messages, maxTokens: 20}, func(string) {})
			class := ""
			if f != nil {
				class = f.class
			}
			if class != tc.class || rep.done != tc.done || rep.text != tc.text || rep.status != tc.status {
				t.Errorf("class %q, done %t, %d bytes of text, status %d; want %q, %t, %d, %d", class, rep.done, len(rep.text), rep.status,
					tc.class, tc.done, len(tc.text), tc.status)
			}
		})
	}
}

// BenchmarkOllamaChat is one call with an answer of 20 lines, without a model behind it.
func BenchmarkOllamaChat(b *testing.B) {
	answer := strings.Repeat(`{"model":"m","created_at":"2026-11-22T08:00:00Z","message":{"role":"assistant","content":"word "},"done":false}`+"\n", 20) +
		`{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":20}` + "\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		b.Fatal(err)
	}
	o := newOllama(base, func(string) time.Duration { return time.Minute })
	b.ReportAllocs()
	for b.Loop() {
		rep, f := o.chat(context.Background(), call{model: "m", messages: score().Messages, maxTokens: 20}, func(string) {})
		if f != nil || !rep.done || len(rep.text) != 100 {
			b.Fatalf("%+v, %+v", rep, f)
		}
	}
}
