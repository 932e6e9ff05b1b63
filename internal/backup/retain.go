package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Retain removes from the folder what the retention no longer wants, and gives the names of those backups. Days count
// back from the newest good backup, not from today, so that a month of failures removes nothing; what can't be used
// is neither counted nor removed. It belongs after a success.
func (k *Keeper) Retain(ctx context.Context) ([]string, error) {
	f, err := openFolder(k.Dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.take(); err != nil {
		return nil, err
	}
	list, err := k.listFolder(f)
	if err != nil {
		return nil, err
	}
	return f.removeAll(ctx, k.Retention.surplus(list, k.now()))
}

// Sweep removes what killed runs have left unfinished: files, and databases of verifications.
func (k *Keeper) Sweep(ctx context.Context) error {
	k.sweepServer(ctx)
	f, err := openFolder(k.Dir)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.take(); err != nil {
		return err
	}
	removed, err := f.sweep()
	for _, name := range removed {
		k.Log.InfoContext(ctx, "unfinished backup removed", "file", name)
	}
	return err
}

// removeAll removes backups, the manifest first: without it the rest is no backup.
func (f *folder) removeAll(ctx context.Context, list []Entry) (removed []string, err error) {
	for _, e := range list {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		for _, name := range []string{e.Name + manifestEnding, e.Manifest.File, e.Name + verificationEnding} {
			if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, fmt.Errorf("remove backup %s: %w", e.Name, f.writing(err, "remove "+name))
			}
		}
		removed = append(removed, e.Name)
	}
	return removed, f.sync()
}

// surplus chooses from a list what may go. The newest good one and the newest verified one of each database stay.
func (r Retention) surplus(list []Entry, now time.Time) []Entry {
	databases := make(map[string][]Entry)
	for _, e := range list {
		if e.Good() {
			databases[e.Manifest.Database] = append(databases[e.Manifest.Database], e)
		}
	}
	var surplus []Entry
	for _, own := range databases {
		keep := r.keep(own, now)
		for _, e := range own {
			if !keep[e.Name] {
				surplus = append(surplus, e)
			}
		}
	}
	slices.SortFunc(surplus, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }) // the oldest first
	return surplus
}

// keep names what stays of one database's good backups. Those of a clock that was ahead stay until their time has come:
// among the others they would be the newest for ever, and what is made today would go at once. Those that were found
// to be no good stay as long as others would, and take the place of none.
func (r Retention) keep(list []Entry, now time.Time) map[string]bool {
	newestFirst(list)
	keep := map[string]bool{list[0].Name: true}
	from := list[0].Manifest.StartedAt
	if from.After(now) {
		from = now
	}
	past := slices.Clone(list)
	past = slices.DeleteFunc(past, func(e Entry) bool {
		ahead := e.Manifest.StartedAt.After(now)
		if ahead {
			keep[e.Name] = true
		}
		return ahead
	})
	r.keepOf(past, keep, from)
	if sound := slices.DeleteFunc(slices.Clone(past), Entry.Disproved); len(sound) < len(past) && len(sound) > 0 {
		r.keepOf(sound, keep, sound[0].Manifest.StartedAt)
	}
	return keep
}

// keepOf names what stays of a list, the newest first, when days are counted back from then.
func (r Retention) keepOf(list []Entry, keep map[string]bool, from time.Time) {
	if len(list) == 0 {
		return
	}
	keep[list[0].Name] = true
	if i := slices.IndexFunc(list, Entry.Verified); i >= 0 {
		keep[list[i].Name] = true
	}
	if r.Daily > 0 || r.Weekly > 0 || r.Monthly > 0 {
		newestOfEach(list, keep, r.Daily, func(t time.Time) string { return t.Format(time.DateOnly) })
		newestOfEach(list, keep, r.Weekly, func(t time.Time) string {
			year, week := t.ISOWeek()
			return fmt.Sprint(year, week)
		})
		newestOfEach(list, keep, r.Monthly, func(t time.Time) string { return t.Format("2006-01") })
		return
	}
	oldest := from.AddDate(0, 0, -r.Days)
	for _, e := range list {
		if r.Days <= 0 || e.Manifest.StartedAt.After(oldest) {
			keep[e.Name] = true
		}
	}
}

// newestOfEach keeps the newest of each of the last so many periods in which there are any.
func newestOfEach(list []Entry, keep map[string]bool, periods int, period func(time.Time) string) {
	seen := make(map[string]bool)
	for _, e := range list {
		p := period(e.Manifest.StartedAt.UTC())
		if seen[p] {
			continue
		}
		if len(seen) == periods {
			return
		}
		seen[p] = true
		keep[e.Name] = true
	}
}
