package backup

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var today = time.Date(2026, 3, 31, 2, 0, 0, 0, time.UTC)

// kept are entries of these ages in days, each named by its age; what is said of one may be changed.
func aged(change func(age int, e *Entry), ages ...int) []Entry {
	var list []Entry
	for _, age := range ages {
		m := &Manifest{Database: "payaid", StartedAt: today.AddDate(0, 0, -age), SHA256: "sum"}
		e := Entry{Name: fmt.Sprint(age), Manifest: m}
		if change != nil {
			change(age, &e)
		}
		list = append(list, e)
	}
	return list
}

func days(from, to int) (list []int) {
	for d := from; d <= to; d++ {
		list = append(list, d)
	}
	return list
}

func TestRetention(t *testing.T) {
	t.Parallel()
	verified := func(which int) func(int, *Entry) {
		return func(age int, e *Entry) {
			if age == which {
				e.Verification = &Verification{State: Passed, SHA256: "sum"}
			}
		}
	}
	broken := func(age int, e *Entry) {
		if age < 40 {
			e.Problem = &Fault{Code: Truncated}
		}
	}
	future := func(age int, e *Entry) {
		if age == 0 {
			e.Manifest.StartedAt = today.AddDate(10, 0, 0)
		}
	}
	ahead := func(age int, e *Entry) {
		if age < 3 {
			e.Manifest.StartedAt = today.AddDate(0, 0, 30-age)
		}
	}
	// Today and yesterday are no good, and so is what was made today after something good.
	disproved := func(age int, e *Entry) {
		if age < 2 {
			e.Verification = &Verification{State: Failed, SHA256: "sum"}
		}
	}
	gone := func(list ...int) []string {
		names := []string{}
		for _, age := range list {
			names = append(names, fmt.Sprint(age))
		}
		slices.Sort(names)
		return names
	}
	for name, c := range map[string]struct {
		retention Retention
		list      []Entry
		want      []string
	}{
		"nothing is set":               {Retention{}, aged(nil, days(0, 50)...), gone()},
		"thirty days":                  {Retention{Days: 30}, aged(nil, days(0, 33)...), gone(30, 31, 32, 33)},
		"forty days without a success": {Retention{Days: 30}, aged(nil, days(40, 75)...), gone(70, 71, 72, 73, 74, 75)},
		"forty days of broken files":   {Retention{Days: 30}, aged(broken, days(0, 75)...), gone(70, 71, 72, 73, 74, 75)},
		"the newest verified":          {Retention{Days: 7}, aged(verified(20), days(0, 20)...), gone(days(7, 19)...)},
		"a clock that was ahead":       {Retention{Days: 7}, aged(future, days(0, 8)...), gone(7, 8)},
		"one day, made yesterday":      {Retention{Days: 1}, aged(nil, 1), gone()},
		// 31 March is a Tuesday; Sundays are 2, 9, 16, 23 and 30 days before.
		"days":                     {Retention{Daily: 3}, aged(nil, days(0, 9)...), gone(days(3, 9)...)},
		"weeks":                    {Retention{Weekly: 3}, aged(nil, days(0, 20)...), gone(1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)},
		"months":                   {Retention{Monthly: 3}, aged(nil, 0, 30, 31, 40, 59, 60, 90), gone(30, 40, 60, 90)},
		"days after a clock ahead": {Retention{Daily: 2}, aged(ahead, days(0, 6)...), gone(5, 6)},
		"a clock ahead keeps no proof": {Retention{Daily: 1}, aged(func(age int, e *Entry) {
			ahead(age, e)
			if age < 3 || age == 5 {
				e.Verification = &Verification{State: Passed, SHA256: "sum"}
			}
		}, days(0, 6)...), gone(4, 6)},
		"days of no good":             {Retention{Daily: 2}, aged(disproved, days(0, 6)...), gone(4, 5, 6)},
		"a month of no good":          {Retention{Days: 3}, aged(disproved, append(days(0, 1), 20, 21, 22, 23)...), gone(23)},
		"all are no good":             {Retention{Days: 2}, aged(disproved, 0, 1), gone()},
		"days that are missing count": {Retention{Daily: 2}, aged(nil, 0, 50, 51), gone(51)},
	} {
		got := []string{}
		for _, e := range c.retention.surplus(c.list, today) {
			got = append(got, e.Name)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q removed, want %q", name, got, c.want)
		}
	}
}

// TestDatabasesShareAFolder: what is kept of one doesn't depend on the other.
func TestDatabasesShareAFolder(t *testing.T) {
	t.Parallel()
	list := aged(func(age int, e *Entry) {
		if age > 40 {
			e.Manifest.Database = "another"
		}
	}, append(days(0, 3), days(60, 63)...)...)
	if got := (Retention{Days: 30}).surplus(list, today); len(got) > 0 {
		t.Errorf("got %+v removed, want nothing: each database keeps what it has", got)
	}
}

// put writes a backup into a folder by hand.
func put(t *testing.T, dir string, started time.Time, dump string) Manifest {
	t.Helper()
	name := started.Format(nameLayout)
	m := Manifest{Format: manifestFormat, Name: name, File: name + dumpEnding, Database: "payaid", StartedAt: started, Bytes: int64(len(dump))}
	text, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, dir, m.File, dump)
	putFile(t, dir, name+manifestEnding, string(text))
	return m
}

func putFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func privateFolder(t *testing.T) string {
	t.Helper()
	dir := newFolder(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRetainRemoves(t *testing.T) {
	t.Parallel()
	dir := privateFolder(t)
	k := newKeeper(t, Config{Dir: dir, Retention: Retention{Days: 2}})
	k.now = func() time.Time { return today }
	for age := range 5 {
		put(t, dir, today.AddDate(0, 0, -age), "dump")
	}
	oldest := today.AddDate(0, 0, -4).Format(nameLayout)
	passed, err := json.Marshal(Verification{Name: oldest, State: Passed})
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, dir, oldest+verificationEnding, string(passed))
	putFile(t, dir, "notes.txt", "mine")
	removed, err := k.Retain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"payaid_20260328_020000", "payaid_20260329_020000"}; !slices.Equal(removed, want) {
		t.Errorf("got %q removed, want %q", removed, want)
	}
	list, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || !list[2].Verified() {
		t.Errorf("got %+v left, want the two newest and the verified one", list)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("a file of somebody else is gone: %v", err)
	}
}
