//go:build deploytest

package deploytest

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A report is the table that stands at the end of the run.
type report struct {
	rows  []string
	kills []string
}

func (r *report) add(what, format string, args ...any) {
	r.rows = append(r.rows, what+"\t"+fmt.Sprintf(format, args...))
}

func (r *report) killed(service string, healthy, succeeded time.Duration, failed int) {
	r.kills = append(r.kills, fmt.Sprintf("%s\t%s\t%s\t%d", service, seconds(healthy), seconds(succeeded), failed))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// print writes both tables, whatever has failed.
func (r *report) print(t *testing.T) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nWHAT\tSEEN")
	for _, row := range r.rows {
		fmt.Fprintln(w, row)
	}
	fmt.Fprintln(w, "\nKILLED\tHEALTHY AGAIN AFTER\tITS KIND OF JOB DONE AFTER\tREQUESTS WITHOUT A GOOD ANSWER, SENT AGAIN")
	for _, row := range r.kills {
		fmt.Fprintln(w, row)
	}
	_ = w.Flush()
	t.Log(text.String())
}
