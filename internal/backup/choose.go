package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Latest stands for the newest backup that is good.
const Latest = "latest"

// A PassedOver is a backup that is newer than the one to be restored, and why it isn't the one.
type PassedOver struct {
	Name       string
	SnapshotAt time.Time // zero: its manifest can't be read
	Why        string
}

// newest is the name of the newest backup that is good at a glance, to be tried.
func (k *Keeper) newest(ctx context.Context) (string, error) {
	list, err := k.List(ctx)
	if err != nil {
		return "", err
	}
	if list, err = k.good(list); err != nil {
		return "", err
	}
	return list[0].Name, nil
}

// newestSound is the name of the newest backup that nobody found to be no good, to be restored, and the newer ones that it
// isn't. Where all are known to be no good there is none: which of them is the least evil is for people to say.
func (k *Keeper) newestSound(ctx context.Context) (string, []PassedOver, error) {
	all, err := k.List(ctx)
	if err != nil {
		return "", nil, err
	}
	good, err := k.good(all)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(good, sound)
	if i < 0 {
		v := good[0].Verification
		return "", nil, &Fault{Code: NotFound, Detail: fmt.Sprintf("all backups that there are (%d) were tried, and are no good; the newest, %s: %s", len(good), good[0].Name, v.Detail),
			Remedy: "look for copies elsewhere; to restore one all the same, name it: `payaid backup list` shows them"}
	}
	chosen := good[i]
	var passed []PassedOver
	for _, e := range all {
		switch {
		case slices.ContainsFunc(good[:i], func(g Entry) bool { return g.Name == e.Name }):
			passed = append(passed, PassedOver{e.Name, e.Manifest.SnapshotAt, disproof(e)})
		case e.Problem != nil && e.Manifest != nil && e.Manifest.Database == chosen.Manifest.Database && e.Manifest.SnapshotAt.After(chosen.Manifest.SnapshotAt):
			passed = append(passed, PassedOver{e.Name, e.Manifest.SnapshotAt, e.Problem.Detail})
		case e.Manifest == nil && e.Problem != nil && e.Name > chosen.Name: // names tell the time
			passed = append(passed, PassedOver{Name: e.Name, Why: e.Problem.Detail})
		}
	}
	return chosen.Name, passed, nil
}

// good leaves those that are good at a glance, the newest first; where others keep backups in the same folder, those of
// the database of the address. There is one at least.
func (k *Keeper) good(list []Entry) ([]Entry, error) {
	list = slices.DeleteFunc(slices.Clone(list), func(e Entry) bool { return !e.Good() })
	if len(list) == 0 {
		return nil, &Fault{Code: NotFound, Detail: "there is no good backup", Remedy: "make one: `payaid backup now`"}
	}
	list, err := k.ofOneDatabase(list)
	slices.SortStableFunc(list, func(a, b Entry) int { return b.Manifest.SnapshotAt.Compare(a.Manifest.SnapshotAt) })
	return list, err
}

// ofOneDatabase leaves those of the database of the address, or of the only one that there are any of.
func (k *Keeper) ofOneDatabase(list []Entry) ([]Entry, error) {
	own := ""
	if config, err := pgx.ParseConfig(k.DatabaseURL); err == nil {
		own = config.Database
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Manifest.Database)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 {
		return list, nil
	}
	if !slices.Contains(names, own) {
		return nil, &Fault{Code: NotFound, Detail: fmt.Sprintf("there are backups of several databases (%s), and none of %q", strings.Join(names, ", "), own),
			Remedy: "name the backup: `payaid backup list` shows them"}
	}
	return slices.DeleteFunc(list, func(e Entry) bool { return e.Manifest.Database != own }), nil
}

// sound reports whether nobody found a backup to be no good. One whose file is spoilt here may be whole in the remote
// place.
func sound(e Entry) bool {
	return !e.Disproved() || e.Verification.ofTheFile() && slices.Contains(e.Places, InRemote)
}

// disproof says when a backup was found to be no good, and why.
func disproof(e Entry) string {
	v := e.Verification
	return fmt.Sprintf("tried at %s, and no good: %s", v.FinishedAt.UTC().Format(time.RFC3339), v.Detail)
}

// doubt is why a backup that was named should not be restored, "" where nothing is known against it. What can't be
// found out now stands in nobody's way.
func (k *Keeper) doubt(ctx context.Context, name string) string {
	list, err := k.List(ctx)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(list, func(e Entry) bool { return e.Name == name })
	if i < 0 || sound(list[i]) {
		return ""
	}
	return disproof(list[i])
}

// doubtBeside is the same of a backup that lies anywhere.
func doubtBeside(path string, m Manifest) string {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), m.Name+verificationEnding))
	if err != nil {
		return ""
	}
	if e := (Entry{Name: m.Name, Manifest: &m, Verification: decodeVerification(m, raw)}); !sound(e) {
		return disproof(e)
	}
	return ""
}
