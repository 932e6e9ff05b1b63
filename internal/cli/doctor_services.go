package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/telemetry"
)

// privateNATS is what the server of `up` is called, which syncs every write.
const privateNATS = "payaid-local"

// broker looks at NATS, at the stream, and at how both keep what they acknowledged.
func (d *doctor) broker(ctx context.Context, a *app, x examination) {
	const remedy = "start nats-server 2.15 or newer with JetStream, and check NATS_URL"
	if x.NATSURL == "" {
		d.say(uneasy, "nats", "set NATS_URL", "not configured here")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	quiet := telemetry.NewLog(a.stderr, telemetry.Text, 100)
	nc, err := connectNATS(x.NATSURL, "payaid-doctor", quiet)
	if err != nil {
		d.say(broken, "nats", remedy, "%v", err)
		return
	}
	defer nc.Close()
	s, err := stream.Open(nc)
	if err == nil {
		err = nc.FlushWithContext(ctx)
	}
	if err != nil {
		d.say(broken, "nats", remedy, "no answer: %v", err)
		return
	}
	before := time.Now()
	survey, err := s.Survey(ctx)
	if err != nil {
		d.say(broken, "nats", remedy, "server %s, but: %v", nc.ConnectedServerVersion(), err)
		return
	}
	d.say(fine, "nats", "", "server %s, stream holds %d to %d in %d copies", nc.ConnectedServerVersion(), survey.First, survey.Last, survey.Replicas)
	if survey.Replicas < survey.Wanted || !survey.Kept {
		d.say(broken, "stream", "restart `payaid relay`, which sets it right; on a cluster it needs three servers",
			"it has %d copies of %d, and is on disk and safe from being deleted: %t", survey.Replicas, survey.Wanted, survey.Kept)
	}
	if survey.Alone != "" {
		d.say(broken, "stream copies", "restart that NATS server: another takes the lead, and it finds the others again",
			"server %s leads the stream, and knows of no other copy", survey.Alone)
	}
	if len(survey.Behind) > 0 {
		d.say(uneasy, "stream copies", "look at those servers and at the network between them: with two of three away nothing is published",
			"not up to date: %s", strings.Join(survey.Behind, ", "))
	}
	if !survey.ServerTime.IsZero() {
		d.clock("nats", before, time.Now(), survey.ServerTime)
	}
	d.synced(ctx, nc, x)
}

// synced tells whether the server has on the disk what it acknowledged. It shows that at its monitoring address alone.
func (d *doctor) synced(ctx context.Context, nc *nats.Conn, x examination) {
	const check, remedy = "nats sync", "set sync_interval: always in jetstream { } of nats-server's configuration"
	if x.monitor == "" {
		if x.PID != 0 && nc.ConnectedServerName() == privateNATS {
			d.say(fine, check, "", "the private server syncs every write")
			return
		}
		d.say(uneasy, check, "name its monitoring address in NATS_MONITOR, or see for yourself that it has sync_interval: always",
			"whether it syncs every write can't be seen from here: NATS tells at its monitoring address alone")
		return
	}
	var vars struct {
		Name      string `json:"server_name"`
		JetStream struct {
			Config *struct {
				Interval time.Duration `json:"sync_interval"`
				Always   bool          `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	if err := getJSON(ctx, strings.TrimRight(x.monitor, "/")+"/varz", &vars); err != nil {
		d.say(uneasy, check, "check NATS_MONITOR", "%v", err)
		return
	}
	switch c := vars.JetStream.Config; {
	case c == nil:
		d.say(broken, check, "turn JetStream on there, or correct NATS_MONITOR", "the server %s has no JetStream", vars.Name)
	case !c.Always:
		d.say(broken, check, remedy, "the server %s syncs every %s: what it acknowledged since may be lost when the machine fails", vars.Name, c.Interval)
	default:
		d.say(fine, check, "", "the server %s syncs every write", vars.Name)
	}
}

// getJSON asks by plain GET, without a proxy.
func getJSON(ctx context.Context, address string, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(out)
}

// redis asks for an answer, and for whether it takes writes.
func (d *doctor) redis(ctx context.Context, url string) {
	if url == "" {
		d.say(uneasy, "redis", "set REDIS_URL; without it nothing is cached", "not configured here")
		return
	}
	options, err := redisOptions(url)
	if err != nil {
		d.say(broken, "redis", "check REDIS_URL", "%v", err)
		return
	}
	// The question ends with the time that it is given, and says why it got no answer.
	options.ContextTimeoutEnabled, options.MaxRetries, options.DialerRetries = true, -1, 1
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		d.say(uneasy, "redis", "start Redis; until then nothing is cached", "%v", err)
		return
	}
	// A full one, and a replica, answer all the same. There is no such key to change.
	if err := client.SetArgs(ctx, "payaid:doctor", "", redis.SetArgs{Mode: "XX"}).Err(); err != nil && !errors.Is(err, redis.Nil) {
		d.say(uneasy, "redis", "give it memory (maxmemory), or the address of the primary; until then nothing new is cached", "answers and takes no writes: %v", err)
		return
	}
	d.say(fine, "redis", "", "answers")
	before := time.Now()
	if theirs, err := client.Time(ctx).Result(); err == nil {
		d.clock("redis", before, time.Now(), theirs)
	}
}

// watchers looks at those who are told how the product does.
func (d *doctor) watchers(ctx context.Context, x examination) {
	if x.metrics == "" {
		d.say(fine, "metrics", "", "Prometheus can't ask (METRICS_LISTEN is not set here)")
	} else if n, err := metricsAt(ctx, x.metrics); err != nil {
		d.say(broken, "metrics", "see whether the process runs that listens there, or correct METRICS_LISTEN", "%v", err)
	} else {
		d.say(fine, "metrics", "", "%d figures at %s", n, x.metrics)
	}
	if x.traces == "" {
		d.say(fine, "traces", "", "nothing is traced (OTEL_EXPORTER_OTLP_ENDPOINT is not set here)")
		return
	}
	u, err := url.Parse(x.traces)
	if err == nil {
		err = reach(ctx, u)
	}
	if err != nil {
		d.say(uneasy, "traces", "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT; until then traces are dropped", "%v", err)
		return
	}
	d.say(fine, "traces", "", "something listens at %s", u.Host)
}

// metricsAt counts the lines that Prometheus would read.
func metricsAt(ctx context.Context, address string) (n int, err error) {
	if !strings.Contains(address, "://") {
		address = "http://" + reachable(address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	u.Path = "/metrics"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "payaid_") {
			n++
		}
	}
	if response.StatusCode != http.StatusOK || n == 0 {
		return 0, fmt.Errorf("%s answers %s with nothing of ours", u.Host, response.Status)
	}
	return n, nil
}
