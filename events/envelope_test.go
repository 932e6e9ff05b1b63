package events

import (
	"errors"
	"testing"
	"time"
)

func TestParseHeadersRefuses(t *testing.T) {
	t.Parallel()
	whole := sampleOf(t, facts[0])
	for name, change := range map[string]func(h map[string]string) []byte{
		"no id":                func(h map[string]string) []byte { delete(h, headerID); return whole.Data },
		"no type":              func(h map[string]string) []byte { delete(h, headerType); return whole.Data },
		"no subject":           func(h map[string]string) []byte { delete(h, headerSubject); return whole.Data },
		"no organization":      func(h map[string]string) []byte { delete(h, headerOrganizationID); return whole.Data },
		"other version":        func(h map[string]string) []byte { h[headerSpecVersion] = "0.3"; return whole.Data },
		"no time":              func(h map[string]string) []byte { h[headerTime] = "today"; return whole.Data },
		"no aggregate version": func(h map[string]string) []byte { h[headerAggregateVersion] = "x"; return whole.Data },
		"cut data":             func(map[string]string) []byte { return whole.Data[:10] },
	} {
		h := map[string]string{}
		for k, v := range whole.Headers {
			h[k] = v
		}
		body := change(h)
		if _, err := ParseHeaders(func(name string) string { return h[name] }, body); !errors.Is(err, ErrNotAnEvent) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, e := range []Envelope{{Type: "job.unheard_of", Data: []byte("{}")}, {Type: "job.requested", Data: []byte(`{"run":"one"}`)}} {
		if _, err := Decode(e); !errors.Is(err, ErrNotAnEvent) {
			t.Errorf("%s: got %v", e.Type, err)
		}
	}
	f, err := Decode(Envelope{Type: "job.requested", Data: []byte(`{"job_id":"x","of_a_later_version":1}`)})
	if err != nil || f.(JobRequested).JobID != "x" {
		t.Errorf("got %v, %v", f, err)
	}
}

func FuzzParseHeaders(f *testing.F) {
	f.Add("id", "job.requested", "1", "2027-01-31T09:29:59.654321Z", []byte(`{}`))
	f.Add("", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, id, eventType, version, at string, body []byte) {
		h := map[string]string{headerID: id, headerType: eventType, headerSubject: "s", headerOrganizationID: "o",
			headerSpecVersion: SpecVersion, headerTime: at, headerAggregateVersion: version}
		e, err := ParseHeaders(func(name string) string { return h[name] }, body)
		if err != nil {
			return
		}
		again, err := ParseHeaders(func(name string) string { return e.Headers()[name] }, body)
		if err != nil || again.ID != e.ID || again.AggregateVersion != e.AggregateVersion || !again.Time.Equal(e.Time.Truncate(time.Nanosecond)) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
		_, _ = Decode(e)
	})
}
