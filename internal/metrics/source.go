package metrics

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Family is one name of figures that sources look up, with the names of its labels.
type Family struct {
	name string
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) *Family {
	return family(prometheus.GaugeValue, name, help, labels)
}

func total(name, help string, labels ...string) *Family {
	return family(prometheus.CounterValue, name, help, labels)
}

func family(kind prometheus.ValueType, name, help string, labels []string) *Family {
	name = prometheus.BuildFQName(namespace, "", name)
	return &Family{name: name, desc: prometheus.NewDesc(name, help, labels, nil), kind: kind}
}

// A Sheet is what a source fills in.
type Sheet struct {
	rows  []row
	fault error
}

// row is one figure; key is the same for what would be the same series.
type row struct {
	key    string
	metric prometheus.Metric
}

// Set gives a family's figure under the values of its labels, in their order.
func (s *Sheet) Set(f *Family, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(f.desc, f.kind, value, labels...)
	if err != nil {
		s.fault = err
		return
	}
	s.rows = append(s.rows, row{key: f.name + "\x00" + strings.Join(labels, "\x00"), metric: metric})
}

// SetTime gives a moment in seconds since 1970, 0 for one that never was.
func (s *Sheet) SetTime(f *Family, at *time.Time, labels ...string) {
	if at == nil || at.IsZero() {
		s.Set(f, 0, labels...)
		return
	}
	s.Set(f, float64(at.UnixMilli())/1000, labels...)
}

// One is 1 for true and 0 for false.
func One(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// A Source looks figures up.
type Source struct {
	// Name is the label of the figures about it. Of several sources of one name the one that was added first is asked,
	// and another when that is gone: parts of one process may offer the same.
	Name string
	// Read fills the sheet in. With an error none of it is shown.
	Read func(context.Context, *Sheet) error
	// Every is how long what was read is good for. A source that asks others has one; 0: it is read each time.
	Every time.Duration
}

// readWithin bounds a source. Prometheus itself gives up after ten seconds.
const readWithin = 3 * time.Second

// Add has a source asked until remove is called, which waits for a question that is under way.
func (m *Metrics) Add(s Source) (remove func()) {
	added := &source{Source: s, failed: m.failed, turn: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources = append(m.sources, added)
	return func() {
		m.mu.Lock()
		for i, one := range m.sources {
			if one == added {
				m.sources = append(m.sources[:i:i], m.sources[i+1:]...)
				break
			}
		}
		m.mu.Unlock()
		added.turn <- struct{}{}
		added.gone = true
		<-added.turn
	}
}

// active are the sources to ask: the first of each name.
func (m *Metrics) active() (list []*source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make(map[string]bool)
	for _, s := range m.sources {
		if !seen[s.Name] {
			seen[s.Name] = true
			list = append(list, s)
		}
	}
	return list
}

// source keeps what was read. One question is under way at a time; who comes meanwhile gets its answer.
type source struct {
	Source
	failed func(name string, err error)

	turn chan struct{} // held while it is asked
	gone bool
	at   time.Time
	rows []row
	up   bool
	took time.Duration
}

func (s *source) collect() ([]row, bool, time.Duration) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.gone {
		return nil, false, 0
	}
	if s.at.IsZero() || time.Since(s.at) >= s.Every {
		s.read()
	}
	return s.rows, s.up, s.took
}

func (s *source) read() {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	began := time.Now()
	var sheet Sheet
	err := s.safely(ctx, &sheet)
	if err == nil {
		err = sheet.fault
	}
	s.at, s.took, s.up, s.rows = time.Now(), time.Since(began), err == nil, nil
	if err != nil {
		s.failed(s.Name, err)
		return
	}
	s.rows = sheet.rows
}

// failed logs a source that could not be read, as nobody gets its error.
func (m *Metrics) failed(name string, err error) {
	if leftOut, due := m.lines.Tell(name); due {
		m.config.Log.Warn("figures are left out of the metrics", "collector", name, "error", err, "left_out", leftOut)
	}
}

// safely keeps the other figures when a source panics.
func (s *source) safely(ctx context.Context, sheet *Sheet) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("read %s: panic: %v\n%s", s.Name, v, debug.Stack())
		}
	}()
	return s.Read(ctx, sheet)
}

var (
	collectorUp   = gauge("collector_up", "1 while the figures of a source can be had, 0 while they are left out.", "collector")
	collectorTook = gauge("collector_duration_seconds", "How long the last look at a source took.", "collector")
)

// sourcesOf collects all sources side by side: one that hangs doesn't keep the others.
type sourcesOf struct{ m *Metrics }

// Describe implements prometheus.Collector: what sources give is known when they do.
func (sourcesOf) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. The same figure of two sources would spoil everything, so it is told once.
func (c sourcesOf) Collect(out chan<- prometheus.Metric) {
	list := c.m.active()
	found := make([][]row, len(list))
	var reading sync.WaitGroup
	for i, s := range list {
		reading.Go(func() {
			rows, up, took := s.collect()
			var about Sheet
			about.Set(collectorUp, One(up), s.Name)
			about.Set(collectorTook, took.Seconds(), s.Name)
			found[i] = append(rows[:len(rows):len(rows)], about.rows...)
		})
	}
	reading.Wait()
	told := make(map[string]bool)
	for _, rows := range found {
		for _, one := range rows {
			if !told[one.key] {
				told[one.key] = true
				out <- one.metric
			}
		}
	}
}
