package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/pghealth"
	"github.com/payaid/payaid/internal/store"
)

// sampleIndexes takes a sample, as the job does.
func (g *rig) sampleIndexes(t *testing.T) {
	t.Helper()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: g.DB.Pool().Config().ConnString(), Role: store.System, Name: "sampler", MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := pghealth.Take(t.Context(), tx, outbox.NewID())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (g *rig) indexHealth(t *testing.T, query string) (v indexHealthView) {
	t.Helper()
	g.call(t, testAdminKey, "GET", "/api/system/index-health"+query, "").want(200).json(&v)
	return v
}

func TestIndexHealth(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	before := g.indexHealth(t, "")
	if before.Window.From != nil || !has(before.Unmeasured, "window.from") || before.StatisticsSince == nil {
		t.Errorf("without a sample: window %+v, unmeasured %+v", before.Window, before.Unmeasured)
	}
	g.sampleIndexes(t)
	_, key := g.organization(t)
	for range 5 {
		g.contact(t, key, aContact)
	}
	g.sampleIndexes(t)
	v := g.indexHealth(t, "")
	if v.Window.Samples != 2 || v.Window.From == nil || len(v.Indexes) < 100 || v.Server.Version < 150000 {
		t.Errorf("%d indexes, window %+v, server %+v", len(v.Indexes), v.Window, v.Server)
	}
	if !slices.IsSortedFunc(v.Indexes, func(a, b indexView) int { return int(b.Scans - a.Scans) }) {
		t.Error("the indexes are not sorted by their scans")
	}
	for _, i := range v.Indexes {
		if i.SchemaName != "public" || i.TableName == "" || !i.Valid {
			t.Errorf("index %+v", i)
		}
		if (i.Bloat == nil) != has(i.Unmeasured, "bloat") || (i.CacheHitRate == nil) != has(i.Unmeasured, "cache_hit_rate") {
			t.Errorf("%s: null without a reason, or a reason without null: %+v", i.IndexName, i.Unmeasured)
		}
		if i.Window == nil || len(i.Trend) == 0 {
			t.Errorf("%s has no window or no trend", i.IndexName)
		}
	}
	if len(v.Findings) != 6 || slices.ContainsFunc(v.Findings, func(f indexFindingView) bool { return f.Kept == nil || f.Severity != "info" }) {
		t.Errorf("findings %+v, want the six that are kept on purpose", v.Findings)
	}
}

func has(list []unmeasured, figure string) bool {
	return slices.ContainsFunc(list, func(u unmeasured) bool { return u.Figure == figure })
}

func TestIndexHealthOfOne(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.sampleIndexes(t)
	for _, name := range []string{"contacts_pkey", "public.contacts_pkey"} {
		v := g.indexHealth(t, "?index="+name+"&measure=true")
		if len(v.Indexes) != 1 || v.Indexes[0].IndexName != "contacts_pkey" || len(v.Findings) != 0 {
			t.Errorf("%s: %+v", name, v.Indexes)
		}
		if v.Measured != nil || !has(v.Unmeasured, "measured") {
			t.Errorf("measured %+v without the extension, unmeasured %+v", v.Measured, v.Unmeasured)
		}
	}
	g.call(t, testAdminKey, "GET", "/api/system/index-health?index=nobody", "").problem(404, "not_found")
	for query, pointer := range map[string]string{"measure=true": "/query/measure", "days=0": "/query/days", "days=31": "/query/days", "points=49": "/query/points"} {
		p := g.call(t, testAdminKey, "GET", "/api/system/index-health?"+query, "").problem(422, "validation_failed")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: faults %+v, want one at %s", query, p.Errors, pointer)
		}
	}
}

// What tenants keep is not shown, and tenants don't see it.
func TestIndexHealthIsTheOperators(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	g.contact(t, key, `{"name":"Hush Hush","notes":"hush"}`)
	g.sampleIndexes(t)
	g.call(t, key, "GET", "/api/system/index-health", "").problem(403, "forbidden")
	if body := g.call(t, testAdminKey, "GET", "/api/system/index-health", "").want(200).body; strings.Contains(strings.ToLower(string(body)), "hush") {
		t.Error("it shows what a contact says")
	}
}
