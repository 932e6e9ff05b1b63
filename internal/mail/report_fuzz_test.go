package mail

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzParseReport: anybody may send anything to the address for reports. Whatever it is, it is answered, with
// text that fits into a row and into a log, and the same each time.
func FuzzParseReport(f *testing.F) {
	files, err := filepath.Glob("testdata/reports/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := parseReport(t, raw)
		if r.Digest() != parseReport(t, raw).Digest() {
			t.Error("the same bytes are two reports")
		}
		if len(r.Recipients) > maxReportGroups || (r.Kind == ReportDelivery) != (len(r.Recipients) > 0) {
			t.Errorf("%s with %d recipients", r.Kind, len(r.Recipients))
		}
		texts := []string{r.MessageID, r.EnvelopeID, r.ReportingMTA, r.QueueID, r.Feedback.Type, r.Feedback.MailFrom, r.Feedback.RcptTo,
			r.Feedback.ArrivalDate, r.Original.MessageID, r.Original.ReturnPath, r.Original.ListUnsubscribe}
		for _, one := range r.Recipients {
			one.Verdict()
			one.Names(one.Final)
			texts = append(texts, one.Original, one.Final, one.Action, one.Status, one.Diagnostic, one.RemoteMTA)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || len(text) > maxFieldValue {
				t.Errorf("kept %q", text)
			}
			for _, c := range text {
				if unicode.IsControl(c) {
					t.Errorf("kept a control character in %q", text)
				}
			}
		}
	})
}
