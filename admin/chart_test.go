package admin

import (
	"bytes"
	"encoding/json"
	"html/template"
	"strings"
	"testing"
	"time"
)

func TestChartsAreReadWithoutAScript(t *testing.T) {
	t.Parallel()
	s, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseTemplates(s.url)
	if err != nil {
		t.Fatal(err)
	}
	one, three := 1.0, 3000.5
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := chart{Title: hostile, Unit: "jobs", At: []time.Time{at, at.Add(time.Minute)}, Series: []series{{Name: hostile, Values: []*float64{&one, &three}}, {Name: "none", Values: []*float64{nil, nil}}}}
	var b bytes.Buffer
	if err := template.Must(all["error"].Clone()).ExecuteTemplate(&b, "chart", c); err != nil {
		t.Fatal(err)
	}
	p := &shown{t: t, url: nil, body: b.String()}
	if seen := p.text(); !strings.Contains(seen, "01-02 03:05:05 3000.5 –") || !strings.Contains(seen, "01-02 03:04:05 1 –") {
		t.Errorf("the table says %s", seen)
	}
	if strings.Contains(b.String(), "<script>") {
		t.Error("a name became a script")
	}
	text, err := c.JSON()
	if err != nil || !json.Valid([]byte(text)) || !strings.Contains(text, `"at":[1767323045,1767323105]`) {
		t.Errorf("the script gets %s, %v", text, err)
	}
	c.Series[0].Values = c.Series[0].Values[:1]
	if _, err := c.JSON(); err == nil {
		t.Error("values without a time are drawn")
	}
}
