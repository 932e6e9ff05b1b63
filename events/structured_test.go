package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

func wholeEnvelope() Envelope {
	return Envelope{
		ID: "0197f4a2-0000-7000-8000-000000000001", Type: "invoice.paid", Subject: "0197f4a2-0000-7000-8000-000000000002",
		Time:           time.Date(2027, 1, 31, 15, 0, 59, 654321000, time.FixedZone("IST", 5*3600+1800)),
		OrganizationID: "0197f4a2-0000-7000-8000-000000000003", AggregateVersion: 7,
		CausationID: "0197f4a2-0000-7000-8000-000000000004", CorrelationID: "req-1",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data:        json.RawMessage("{\"invoice_id\": \"x\",\n \"note\":\"a < b & c\"}"),
	}
}

// What is signed must never change by itself: fields stand in this order, and text as it was stated.
func TestStructuredIsTheseBytes(t *testing.T) {
	t.Parallel()
	want := `{"specversion":"1.0","id":"0197f4a2-0000-7000-8000-000000000001","source":"/payaid","type":"invoice.paid",` +
		`"subject":"0197f4a2-0000-7000-8000-000000000002","time":"2027-01-31T09:30:59.654321Z","datacontenttype":"application/json",` +
		`"organizationid":"0197f4a2-0000-7000-8000-000000000003","aggregateversion":7,` +
		`"causationid":"0197f4a2-0000-7000-8000-000000000004","correlationid":"req-1","data":{"invoice_id":"x","note":"a < b & c"}}`
	for range 2 {
		got, err := Structured(wholeEnvelope())
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	first := wholeEnvelope()
	first.CausationID, first.CorrelationID = "", ""
	if got, err := Structured(first); err != nil || strings.Contains(string(got), "causationid") || strings.Contains(string(got), "correlationid") {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestStructuredRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	e := wholeEnvelope()
	e.Data = e.Data[:5]
	if got, err := Structured(e); err == nil || !strings.Contains(err.Error(), e.ID) {
		t.Errorf("got %s, %v", got, err)
	}
}

// The CloudEvents SDK reads every fact back as it was, and finds nothing to object to.
func TestTheSDKReadsStructured(t *testing.T) {
	t.Parallel()
	for _, f := range facts {
		s := sampleOf(t, f)
		e, err := ParseHeaders(func(name string) string { return s.Headers[name] }, s.Data)
		if err != nil {
			t.Fatal(err)
		}
		body, err := Structured(e)
		if err != nil {
			t.Fatal(err)
		}
		readBySDK(t, e, body)
	}
}

// readBySDK compares what the SDK reads with what was written.
func readBySDK(t *testing.T, e Envelope, body []byte) {
	t.Helper()
	var got event.Event
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := got.Validate(); err != nil {
		t.Errorf("%s: %v", body, err)
	}
	x := got.Extensions()
	if got.SpecVersion() != "1.0" || got.ID() != e.ID || got.Source() != Source || got.Type() != e.Type || got.Subject() != e.Subject ||
		!got.Time().Equal(e.Time) || got.DataContentType() != "application/json" || x["organizationid"] != e.OrganizationID ||
		x["aggregateversion"] != int32(e.AggregateVersion) || e.CausationID != "" && x["causationid"] != e.CausationID ||
		e.CorrelationID != "" && x["correlationid"] != e.CorrelationID || x["traceparent"] != nil {
		t.Errorf("%+v became %+v, extensions %#v", e, got, x)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.Data); err != nil || !bytes.Equal(got.Data(), compact.Bytes()) {
		t.Errorf("data: got %s, want %s", got.Data(), compact.Bytes())
	}
}

// FuzzStructured: whatever an event says, it is one JSON object in UTF-8, always the same, and the SDK reads it back. Its
// attributes are ours; the data is a client's.
func FuzzStructured(f *testing.F) {
	f.Add("req-1", int32(7), int64(1_800_000_000_654_321_000), []byte(`{"a": [1, "<>&\u2028"], "b": null}`))
	f.Add("", int32(0), int64(0), []byte(`"\ud800 \u0000"`))
	f.Add("a\"\\\n", int32(-1), int64(-1), []byte("\"\xff\""))
	f.Fuzz(func(t *testing.T, correlation string, version int32, nanoseconds int64, data []byte) {
		e := wholeEnvelope()
		e.CorrelationID, e.AggregateVersion, e.Time, e.Data = correlation, int64(version), time.Unix(0, nanoseconds), data
		body, err := Structured(e)
		if err != nil {
			if json.Valid(data) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		again, err := Structured(e)
		if err != nil || !bytes.Equal(body, again) || !utf8.Valid(body) || bytes.ContainsAny(body, "\n\r") || !json.Valid(body) {
			t.Errorf("%q, then %q, %v", body, again, err)
		}
		if !utf8.ValidString(correlation) || !utf8.Valid(data) {
			return // replaced
		}
		if e.Data = bytes.TrimSpace(data); string(e.Data) != "null" {
			readBySDK(t, e, body)
		}
	})
}
