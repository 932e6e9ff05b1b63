package admin

import (
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/operator"
)

// A systemPage is how the installation does as a whole.
type systemPage struct {
	operator.SystemMetrics
	Health   operator.SystemHealth
	Findings []operator.HealthDetail // what someone should look at first
	Versions []string
}

// A figure is a value, or why there is none.
type figure struct {
	Name  string
	Value template.HTML
	Note  string // what it is about, where its name doesn't say
	Why   string // "": it is there
}

func (p *Pages) system(r *request) error {
	var data systemPage
	both, ctx := errgroup.WithContext(r.Context())
	both.Go(func() error { return r.client.Get(ctx, "/api/system/metrics", nil, &data.SystemMetrics) })
	both.Go(func() error { return r.client.Get(ctx, "/api/system/health", nil, &data.Health) })
	if err := both.Wait(); err != nil {
		return err
	}
	data.Findings = slices.Clone(data.Health.Details)
	urgency := map[string]int{"degraded": -2, "unknown": -1}
	slices.SortStableFunc(data.Findings, func(a, b operator.HealthDetail) int { return urgency[a.State] - urgency[b.State] })
	for _, process := range data.Processes {
		data.Versions = append(data.Versions, process.Version)
	}
	slices.Sort(data.Versions)
	data.Versions = slices.Compact(data.Versions)
	return r.render(http.StatusOK, "system", "System", data)
}

// Why says why a figure is null; it may be explained itself, or what it is in.
func (d systemPage) Why(path string) string { return whyNull(d.Unmeasured, path) }

func whyNull(missing []operator.MissingFigure, path string) string {
	for _, m := range missing {
		if m.Figure == path || strings.HasPrefix(path, m.Figure+".") {
			return m.Reason
		}
	}
	return "the process that answers doesn't say why"
}

// figure is a value by its path, with the reason where it is null.
func (d systemPage) figure(name, path, note string, value template.HTML) figure {
	if value == dash {
		return figure{Name: name, Why: d.Why(path)}
	}
	if slices.Contains(d.AtLeast, path) {
		value += "+"
	}
	return figure{Name: name, Value: value, Note: note}
}

// Glance are the figures at the top.
func (d systemPage) Glance() []figure {
	return []figure{
		d.figure("Requests, last hour", "api.requestsLastHour", "all that were answered", number(d.API.Requests)),
		d.figure("Errors, last hour", "api.errorsLastHour", "answered with 500 or above", number(d.API.Errors)),
		d.figure("Answer, p95", "api.p95ResponseTime", "without probes and streams", milliseconds(d.API.P95)),
		d.figure("Connections", "", "of "+strconv.Itoa(d.Database.MaxConnections)+" of the database", number(d.Database.Connections)),
		d.figure("Disk", "system.diskUsage", "of the fullest volume", hundredths(d.System.Disk)),
		d.figure("Memory", "system.memoryUsage", "of the fullest machine", hundredths(d.System.Memory)),
		d.figure("CPU", "system.cpuUsage", "of the busiest, last minute", hundredths(d.System.CPU)),
	}
}

// OfDatabase are the figures of the database, and of the pool of the process that answers.
func (d systemPage) OfDatabase() []figure {
	db, pool := d.Database, d.Database.Pool
	list := []figure{
		d.detail("Version", "database"),
		d.detail("Connections and their budget", "connections"),
		d.detail("Schema", "schema"),
	}
	for _, s := range db.States {
		list = append(list, figure{Name: "Connections: " + s.State, Value: number(s.Count)})
	}
	if len(db.States) == 0 {
		list = append(list, figure{Name: "Connections by state", Why: d.Why("database.connections")})
	}
	window := ""
	if db.CacheWindowS != nil {
		window = "of the last " + string(duration(float64(*db.CacheWindowS)))
	}
	return append(list,
		d.figure("Blocks found in its cache", "database.cacheHitRate", window, percent(db.CacheHitRate)),
		d.figure("Slow queries, last hour", "database.slowQueries", "above 100 ms", number(db.SlowQueries)),
		figure{Name: "Pool of this process", Value: number(pool.InUse) + " in use, " + number(pool.Idle) + " idle",
			Note: "size " + strconv.Itoa(pool.Size) + ", for bursts " + strconv.Itoa(pool.Overflow) + " more"},
		figure{Name: "Waits for a connection", Value: number(pool.Waits) + ", " + milliseconds(pool.WaitMS) + " together", Note: "since it began"},
		figure{Name: "Waits in vain", Value: number(pool.Timeouts), Note: "answered with 503"})
}

// OfRequests are the figures of the API.
func (d systemPage) OfRequests() []figure {
	return []figure{
		d.figure("Requests", "api.requestsLastHour", "", number(d.API.Requests)),
		d.figure("Answered with 500 or above", "api.errorsLastHour", "", number(d.API.Errors)),
		d.figure("Time to answer, average", "api.avgResponseTime", "without probes and streams", milliseconds(d.API.Average)),
		d.figure("Time to answer, p95", "api.p95ResponseTime", "the same", milliseconds(d.API.P95)),
		d.figure("Probes of health", "api.probesLastHour", "", number(d.API.Probes)),
		d.figure("Clients that hung up", "api.goneLastHour", "before the answer", number(d.API.Gone)),
	}
}

// OfRedis are the figures of Redis and what is kept in it.
func (d systemPage) OfRedis() []figure {
	list := []figure{d.check("redis", "no Redis is configured (REDIS_URL)")}
	hits := figure{Name: "Answers of models found in the cache", Value: percent(d.AI.HitRate), Note: "last hour"}
	if d.AI.HitRate == nil {
		hits = figure{Name: hits.Name, Why: whyNull(d.AI.Unmeasured, "cacheHitRate")}
	}
	limits := figure{Name: "Limits of requests", Why: "this process limits nothing"}
	if l := d.Health.RateLimit; l != nil {
		words := map[string]template.HTML{"redis": "over all processes", "alone": "each process for itself: no Redis is configured",
			"away": "each process for itself: Redis can't be asked"}
		limits = figure{Name: limits.Name, Value: words[l.State], Note: string(number(l.Fallbacks)) + " requests were counted by this process alone"}
	}
	counted := figure{Name: "The last hour is of", Value: "all processes"}
	if d.Scope != "all" {
		counted.Value = "this process alone"
	}
	return append(list, hits, limits, counted)
}

// OfStream are the figures of NATS and of the way of facts.
func (d systemPage) OfStream() []figure {
	e := d.Events
	return []figure{
		d.check("nats", "the process that answers has no connection to NATS"),
		d.figure("Oldest in the stream", "events.stream_first", "", number(e.StreamFirst)),
		d.figure("Newest in the stream", "events.stream_last", "", number(e.StreamLast)),
		d.figure("Facts to be published", "events.unpublished", "", number(e.Unpublished)),
		d.figure("The oldest of them waits", "events.oldest_unpublished_seconds", "", duration(e.OldestUnpublishedS)),
		d.figure("Facts to be routed", "events.unrouted", "", number(e.Unrouted)),
		d.figure("The oldest of them waits", "events.oldest_unrouted_seconds", "", duration(e.OldestUnroutedS)),
		d.figure("Router is at", "", "", number(e.RouterSequence)),
		d.figure("Router moved", "events.router_moved_at", "", ago(e.RouterMovedAt)),
		d.figure("Messages that could not be read", "events.dead", "", number(e.Dead)),
	}
}

// detail is what the health check says of a thing.
func (d systemPage) detail(name, of string) figure {
	for _, one := range d.Health.Details {
		if one.Name == of && one.State != "unknown" {
			return figure{Name: name, Value: text(one.Detail)}
		} else if one.Name == of {
			return figure{Name: name, Why: one.Detail}
		}
	}
	return figure{Name: name, Why: "the health check says nothing of it"}
}

// check is whether something answers.
func (d systemPage) check(of, without string) figure {
	for _, c := range d.Health.Checks {
		if c.Name == of && c.OK {
			return figure{Name: "Answers", Value: badge("ok") + " " + template.HTML(template.HTMLEscapeString(c.Detail)), Note: "in " + strconv.FormatInt(c.LatencyMS, 10) + " ms"}
		} else if c.Name == of {
			return figure{Name: "Answers", Value: badge("away") + " " + template.HTML(template.HTMLEscapeString(c.Detail))}
		}
	}
	return figure{Name: "Answers", Why: without}
}

// hundredths is a share of a hundred.
func hundredths(v *float64) template.HTML {
	if v == nil {
		return dash
	}
	return percent(*v / 100)
}
