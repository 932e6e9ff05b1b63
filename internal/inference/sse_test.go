package inference

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readEvents(r io.Reader) ([]string, error) {
	var got []string
	err := events(r, func(data []byte) error {
		got = append(got, string(data))
		return nil
	})
	return got, err
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"two", "data: a\n\ndata: b\n\n", []string{"a", "b"}},
		{"one of two lines", "data: a\ndata: b\n\n", []string{"a\nb"}},
		{"carriage returns", "data: a\r\n\r\ndata: b\r\rdata:c\n\n", []string{"a", "b", "c"}},
		{"comments and fields", ": ping\n\nevent: x\nid: 1\ndata: a\n\n", []string{"a"}},
		{"no space, two spaces", "data:a\n\ndata:  b\n\n", []string{"a", " b"}},
		{"empty data", "data:\n\n", []string{""}},
		{"cut in a line", "data: a\n\ndata: b", []string{"a"}},
		{"cut before the end of an event", "data: a\n\ndata: b\n", []string{"a"}},
	} {
		got, err := readEvents(strings.NewReader(tc.in))
		if err != nil || !cmp.Equal(got, tc.want) {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", maxEvent+1)
	many := strings.Repeat("data: "+strings.Repeat("x", maxEvent/8)+"\n", 10)
	for _, in := range []string{"data: " + line + "\n\n", many + "\n"} {
		if _, err := readEvents(strings.NewReader(in)); !errors.Is(err, errEventTooLong) {
			t.Errorf("read %d bytes: %v, want errEventTooLong", len(in), err)
		}
	}
}

// FuzzEvents checks that the result doesn't depend on how the bytes arrive, and
// that what is read is in the input.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: a\r\ndata: b\r\n\r\n: c\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data\r\rdata:\n\n\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, errWhole := readEvents(bytes.NewReader(in))
		bytewise, errBytewise := readEvents(iotest.OneByteReader(bytes.NewReader(in)))
		if !cmp.Equal(whole, bytewise) || (errWhole == nil) != (errBytewise == nil) {
			t.Fatalf("%q %v at once, %q %v by bytes", whole, errWhole, bytewise, errBytewise)
		}
		for _, event := range whole {
			for line := range strings.SplitSeq(event, "\n") {
				if !bytes.Contains(in, []byte(line)) {
					t.Fatalf("%q is not in the input", line)
				}
			}
		}
	})
}

// FuzzAnswer checks that no bytes from a server make an answer without a finish
// reason and an end mark.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: {\"error\":\"x\"}\n\n"))
	f.Add([]byte("data: {\"choices\":null,\"x_groq\":{\"usage\":null}}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var rep reply
		var heard strings.Builder
		fault := readAnswer(bytes.NewReader(in), &rep, func(text string) { heard.WriteString(text) })
		if heard.String() != rep.text {
			t.Fatalf("heard %q, the text is %q", heard.String(), rep.text)
		}
		if fault == nil && rep.done && (!bytes.Contains(in, []byte("[DONE]")) || rep.reason == "") {
			t.Fatalf("done without an end: %+v", rep)
		}
	})
}
