package cli

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

func TestKeepAliveIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		plain time.Duration
		own   map[string]time.Duration // nil: refused
	}{
		"30m":                          {30 * time.Minute, map[string]time.Duration{}},
		"-1":                           {-time.Second, map[string]time.Duration{}},
		"90":                           {90 * time.Second, map[string]time.Duration{}},
		"mistral:7b=-1,llama2:13b=10m": {0, map[string]time.Duration{"mistral:7b": -time.Second, "llama2:13b": 10 * time.Minute}},
		"5m, hf.co/a/b:q4=1h":          {5 * time.Minute, map[string]time.Duration{"hf.co/a/b:q4": time.Hour}},
		"":                             {},
		"soon":                         {},
		"0":                            {},
		"=5m":                          {},
		"m=":                           {},
		"5m,6m":                        {},
		"m=5m,m=6m":                    {},
	} {
		var p problems
		plain, own := p.keepAlive("OLLAMA_KEEP_ALIVE", text)
		if want.own == nil {
			if p.err() == nil {
				t.Errorf("%q was taken", text)
			}
			continue
		}
		if p.err() != nil || plain != want.plain || !maps.Equal(own, want.own) {
			t.Errorf("%q: %s and %v, %v; want %s and %v", text, plain, own, p.err(), want.plain, want.own)
		}
	}
}

func TestWarmTiersAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]inference.Tier{
		"fast": {inference.Fast}, "fast, large": {inference.Fast, inference.Large}, "none": {},
		"": nil, "slow": nil, "fast,fast": nil, "fast,none": nil,
	} {
		var p problems
		got := p.tiers("OLLAMA_WARM", text)
		if (p.err() != nil) != (want == nil) {
			t.Errorf("%q: %v", text, p.err())
		} else if want != nil && (got == nil || fmt.Sprint(got) != fmt.Sprint(want)) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
