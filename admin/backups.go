package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/payaid/payaid/operator"
)

// A backupsPage is the history of backups, and what it comes to.
type backupsPage struct {
	operator.Backups
	Verdict verdict
	Charts  []chart
	Pager   pager
}

// A verdict says plainly whether the data is safe.
type verdict struct {
	Tone  string // good, warn, bad
	Title string
}

// verdictOf trusts what was restored for a try alone: any other backup is a hope.
func verdictOf(b operator.Backups) verdict {
	switch {
	case b.LastSuccessAt == nil:
		return verdict{"bad", "The data is not safe: there is no backup"}
	case b.LastVerifiedAt == nil:
		return verdict{"bad", "Nobody knows whether the data is safe: no backup was restored for a try"}
	case len(b.Problems) > 0:
		return verdict{"warn", "What is in the last verified backup is safe, but something needs you"}
	}
	return verdict{"good", "The data is safe"}
}

// backups shows whether the data is safe.
func (p *Pages) backups(r *request) error {
	query := r.filters()
	if !query.Has("limit") {
		query.Set("limit", "60") // two months of daily ones
	}
	var data backupsPage
	if err := r.client.Get(r.Context(), "/api/system/backups", query, &data.Backups); err != nil {
		return err
	}
	data.Verdict, data.Charts, data.Pager = verdictOf(data.Backups), backupCharts(data.Data), r.pager(data.NextCursor)
	return r.render(http.StatusOK, "backups", "Backups", data)
}

// backupCharts draw how large backups are, and how long it took to restore them.
func backupCharts(list []operator.Backup) []chart {
	var at, tried []time.Time
	var sizes, seconds []*float64
	for i := len(list) - 1; i >= 0; i-- {
		b := list[i]
		if b.SnapshotAt == nil || b.Bytes == nil {
			continue
		}
		size := float64(*b.Bytes) / 1e6
		at, sizes = append(at, *b.SnapshotAt), append(sizes, &size)
		if s := b.Verification.RestoreSeconds; s != nil {
			tried, seconds = append(tried, *b.SnapshotAt), append(seconds, s)
		}
	}
	var charts []chart
	if len(at) > 1 {
		charts = append(charts, chart{Title: "Size of backups", Unit: "MB", At: at, Series: []series{{Name: "file", Values: sizes}}})
	}
	if len(tried) > 1 {
		charts = append(charts, chart{Title: "Time to restore", Unit: "s", At: tried, Series: []series{{Name: "restore", Values: seconds}}})
	}
	return charts
}

// makeBackup has a backup made now, and leads to the job that does it.
func (p *Pages) makeBackup(r *request) error {
	verify := r.PostFormValue("verify") != "no"
	var made operator.Submitted
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/backups", operator.MakeBackup{Verify: &verify}, &made); err != nil {
		return err
	}
	return r.follow(made, "A backup is made. This is the job that does it.")
}

// verifyBackup has a backup restored for a try, and leads to the job that does it.
func (p *Pages) verifyBackup(r *request) error {
	var made operator.Submitted
	path := "/api/admin/backups/" + url.PathEscape(r.PathValue("name")) + "/verify"
	if err := r.client.Do(r.Context(), http.MethodPost, path, nil, &made); err != nil {
		return err
	}
	return r.follow(made, "The backup is restored for a try. This is the job that does it.")
}
