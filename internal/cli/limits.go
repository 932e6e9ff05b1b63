package cli

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/ratelimit"
)

// limits say how often clients may ask. Without requests: as often as they like.
type limits struct {
	requests int
	window   time.Duration
	proxies  []netip.Prefix
}

func (s limitSettings) check(p *problems) limits {
	var l limits
	enabled := p.truth("RATELIMIT_ENABLED", s.RateLimitEnabled)
	requests := p.number("RATELIMIT_REQUESTS", s.RateLimitRequests, 1, 1_000_000)
	before := len(p.list)
	l.window = p.duration("RATELIMIT_WINDOW", s.RateLimitWindow)
	if len(p.list) == before && (l.window < time.Second || l.window > 24*time.Hour) {
		p.add("RATELIMIT_WINDOW", "want 1s to 24h, got %q", s.RateLimitWindow)
	}
	for one := range strings.SplitSeq(s.TrustedProxies, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		network, err := api.ParseNetwork(one)
		if err != nil {
			p.add("TRUSTED_PROXIES", "want addresses and networks such as 10.0.0.0/8, got %q", one)
			continue
		}
		l.proxies = append(l.proxies, network)
	}
	if enabled {
		l.requests = requests
	}
	return l
}

// warn says where the settings undo what they are for.
func (l limits) warn(log *slog.Logger) {
	for _, p := range l.proxies {
		if p.Bits() == 0 {
			log.Warn("everybody is a trusted proxy, so everybody chooses the address that limits and keys take for theirs: "+
				"name your proxies alone in TRUSTED_PROXIES", "trusted", p.String())
		}
	}
}

// limiter counts requests, nil where there is no limit.
func (l limits) limiter(redisURL string, log *slog.Logger) (*ratelimit.Limiter, error) {
	if l.requests == 0 {
		return nil, nil
	}
	return newLimiter(l.window, redisURL, log)
}

// newLimiter counts over all processes where there is a Redis.
func newLimiter(window time.Duration, redisURL string, log *slog.Logger) (*ratelimit.Limiter, error) {
	c := ratelimit.Config{Window: window, Log: log}
	if redisURL != "" {
		options, err := redisOptions(redisURL)
		if err != nil {
			return nil, err
		}
		c.Redis = options
	}
	return ratelimit.New(c), nil
}
