package jobs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Every field, wrongly: each fault names its place.
func TestMailInputFaults(t *testing.T) {
	t.Parallel()
	many := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%q", fmt.Sprintf("r%d@example.org", i)))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, maxFileBytes/2+1))
	file := `{"filename":"a.bin","content_type":"application/octet-stream","content_base64":"` + big + `"}`
	const id = "0197aaaa-0000-7000-8000-000000000001"
	for input, want := range map[string][]string{
		`"to":["a@example.org"]`: nil,
		`"to":["Asha Rao <a@example.org>"],"cc":["b@example.org"],"bcc":["c@example.org"],"reply_to":"d@example.org","stream":"news","on_unknown":"hold","contact_id":"` + id + `","deal_id":null`: nil,
		`"to":` + many(50):                                                                     nil,
		`"to":` + many(51):                                                                     {"/to"},
		`"to":[]`:                                                                              {"/to"},
		`"to":null,"bcc":["a@b.org"]`:                                                          nil,
		`"to":"a@example.org"`:                                                                 {"/to"},
		`"to":["a@example.org","nobody"]`:                                                      {"/to/1"},
		`"to":["a@example.org> NOTIFY=NEVER"]`:                                                 {"/to/0"},
		`"to":["a@example.org\r\nBcc: x@example.org"]`:                                         {"/to/0"},
		`"to":["a@example.org"],"cc":["A@EXAMPLE.org"]`:                                        {"/cc/0"},
		`"to":["a@example.org"],"bcc":["x y@example.org"]`:                                     {"/bcc/0"},
		`"to":["a@example.org"],"reply_to":"nobody"`:                                           {"/reply_to"},
		`"to":["a@example.org"],"subject":" "`:                                                 {"/subject"},
		`"to":["a@example.org"],"subject":"x\r\nBcc: a@example.org"`:                           {"/subject"},
		`"to":["a@example.org"],"text":""`:                                                     {"/text"},
		`"to":["a@example.org"],"text":"` + strings.Repeat("x", maxBodyBytes+1) + `"`:          {"/text"},
		`"to":["a@example.org"],"data":{}`:                                                     {"/data"},
		`"to":["a@example.org"],"template":"x","data":[]`:                                      {"/subject", "/text", "/data"},
		`"to":["a@example.org"],"template":"X Y"`:                                              {"/subject", "/text", "/template"},
		`"to":["a@example.org"],"stream":"No"`:                                                 {"/stream"},
		`"to":["a@example.org"],"on_unknown":"panic"`:                                          {"/on_unknown"},
		`"to":["a@example.org"],"contact_id":"7"`:                                              {"/contact_id"},
		`"to":["a@example.org"],"deal_id":"7"`:                                                 {"/deal_id"},
		`"to":["a@example.org"],"invoice_id":"7"`:                                              {"/invoice_id"},
		`"to":["a@example.org"],"from":"a@example.org"`:                                        {"/from"},
		`"to":["a@example.org"],"attachments":[{}]`:                                            {"/attachments/0"},
		`"to":["a@example.org"],"attachments":[{"invoice_id":"` + id + `"}]`:                   nil,
		`"to":["a@example.org"],"attachments":[{"invoice_id":"7"}]`:                            {"/attachments/0/invoice_id"},
		`"to":["a@example.org"],"attachments":[{"filename":"a","content_base64":"?"}]`:         {"/attachments/0/content_base64"},
		`"to":["a@example.org"],"attachments":[{"content_base64":"aGk="}]`:                     {"/attachments/0/filename"},
		`"to":["a@example.org"],"attachments":[{"filename":"a\r\nb","content_base64":"aGk="}]`: {"/attachments/0/filename"},
		`"to":["a@example.org"],"attachments":[` + file + `,` + file + `]`:                     {"/attachments"},
		`"to":["a@example.org"],"attachments":[` + strings.TrimSuffix(strings.Repeat(`{"invoice_id":"`+id+`"},`, 11), ",") + `]`: {"/attachments"},
	} {
		whole := `{` + input
		if !strings.Contains(input, `"subject"`) {
			whole += `,"subject":"x"`
		}
		if !strings.Contains(input, `"text"`) {
			whole += `,"text":"x"`
		}
		var got []string
		for _, f := range checkMail(json.RawMessage(whole + `}`)) {
			got = append(got, f.Pointer)
			if f.Detail == "" {
				t.Errorf("%.200s: %s has no detail", input, f.Pointer)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%.200s: faults at %q, want %q", input, got, want)
		}
	}
}
