package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/payaid/payaid/internal/backup"
)

type backupListCmd struct {
	keeperSettings
	JSON bool `name:"json" help:"As JSON."`
}

// Help implements kong.HelpProvider.
func (backupListCmd) Help() string {
	return "Looks into the folder and the second place; no database is needed. Below the list it says what a loss of the database would " +
		"cost now, and how long it takes to be back, as measured."
}

// A listedBackup is a line of the list.
type listedBackup struct {
	Name           string     `json:"name"`
	SnapshotAt     *time.Time `json:"snapshot_at"` // nil: nobody knows
	Bytes          *int64     `json:"bytes"`
	Rows           *int64     `json:"rows"`
	Encrypted      bool       `json:"encrypted"`
	Places         []string   `json:"places"`
	Verification   *string    `json:"verification"` // passed, failed or impossible; nil: nobody tried
	VerifiedAt     *time.Time `json:"verified_at"`
	RestoreSeconds *float64   `json:"restore_seconds"`
	Problem        *string    `json:"problem"` // why it can't be used; nil: nothing is known against it
	why            string     // of its verification
}

// listedBackups is the list and what follows from it.
type listedBackups struct {
	Data           []listedBackup `json:"data"`
	Newest         *string        `json:"newest"`          // that is good, as far as is known
	NewestVerified *string        `json:"newest_verified"` // that was restored
	LossSeconds    *int64         `json:"loss_seconds"`    // since the newest that was verified: what was written in them would be lost
	ReturnSeconds  *float64       `json:"return_seconds"`  // that the last restore took
}

// Run lists backups.
func (c *backupListCmd) Run(ctx context.Context, a *app) error {
	k, err := c.keeper(ctx, a, needFolder)
	if err != nil {
		return err
	}
	entries, err := k.List(ctx)
	if err != nil {
		return whatToDo(err)
	}
	now := time.Now()
	list := listBackups(entries, now)
	if c.JSON {
		return printJSON(a, list)
	}
	return list.print(a, k.Dir, now)
}

func listBackups(entries []backup.Entry, now time.Time) listedBackups {
	out := listedBackups{Data: []listedBackup{}}
	for _, e := range entries {
		l := listedBackup{Name: e.Name, Places: e.Places}
		if m := e.Manifest; m != nil {
			at, rows := m.SnapshotAt.UTC(), m.Rows()
			l.SnapshotAt, l.Bytes, l.Rows, l.Encrypted = &at, &m.Bytes, &rows, m.Encrypted()
		}
		if v := e.Verification; v != nil {
			at := v.FinishedAt.UTC()
			l.Verification, l.VerifiedAt, l.why = &v.State, &at, v.Detail
			if v.RestoreSeconds > 0 {
				l.RestoreSeconds = &v.RestoreSeconds
			}
		}
		if e.Problem != nil {
			l.Problem = &e.Problem.Detail
		}
		if out.Newest == nil && e.Good() && !e.Disproved() {
			out.Newest = &l.Name
		}
		if out.NewestVerified == nil && e.Verified() {
			loss := int64(now.Sub(e.Manifest.SnapshotAt).Seconds())
			out.NewestVerified, out.ReturnSeconds, out.LossSeconds = &l.Name, l.RestoreSeconds, &loss
		}
		out.Data = append(out.Data, l)
	}
	return out
}

func (l listedBackups) print(a *app, dir string, now time.Time) error {
	if len(l.Data) == 0 {
		fmt.Fprintf(a.stdout, "there is no backup in %s; make one: payaid backup now\n", dir)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tAS OF\tAGE\tSIZE\tROWS\tPLACES\tVERIFIED")
	for _, b := range l.Data {
		age, size, rows := "-", "-", "-"
		if b.SnapshotAt != nil {
			age, size, rows = roughly(now.Sub(*b.SnapshotAt)).String(), bytesIn(*b.Bytes), fmt.Sprint(*b.Rows)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, moment(b.SnapshotAt), age, size, rows, strings.Join(b.Places, ", "), b.verified())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	l.printStanding(a, now)
	return nil
}

func (b listedBackup) verified() string {
	switch {
	case b.Problem != nil:
		return "NO GOOD: " + *b.Problem
	case b.Verification == nil:
		return "not yet"
	case *b.Verification == backup.Passed && b.RestoreSeconds != nil:
		return fmt.Sprintf("%s, restored in %.1f s", moment(b.VerifiedAt), *b.RestoreSeconds)
	}
	return strings.ToUpper(*b.Verification) + ": " + cmp.Or(b.why, "nobody said why") + ", " + moment(b.VerifiedAt)
}

func (l listedBackups) printStanding(a *app, now time.Time) {
	if l.Newest == nil {
		fmt.Fprintln(a.stdout, "\nNone of them is good: make one now, payaid backup now")
		return
	}
	if l.NewestVerified == nil {
		fmt.Fprintln(a.stdout, "\nNone of them was restored for a try, so nobody knows what a loss would cost: payaid backup verify")
		return
	}
	fmt.Fprintf(a.stdout, "\nA loss of the database now would cost what was written in the last %s, since the newest that was restored for a try.\n",
		roughly(time.Duration(*l.LossSeconds)*time.Second))
	if l.ReturnSeconds != nil {
		fmt.Fprintf(a.stdout, "%s was restored in %.1f s.\n", *l.NewestVerified, *l.ReturnSeconds)
	}
}
