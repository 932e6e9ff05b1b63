package events

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the samples anew: only for a type that was never published")

// sample is a whole message, as it is frozen under testdata.
type sample struct {
	Subject string            `json:"subject"`
	Headers map[string]string `json:"headers"`
	Data    json.RawMessage   `json:"data"`
}

const (
	job          = "01976f5e-7d4a-7b3c-8d21-0123456789ab"
	organization = "01976f5e-7d4a-7000-8d21-ba9876543210"
	contact      = "01976f5e-7d4a-7111-8d21-0123456789ab"
	deal         = "01976f5e-7d4a-7222-8d21-0123456789ab"
	invoice      = "01976f5e-7d4a-7333-8d21-0123456789ab"
	insight      = "01976f5e-7d4a-7444-8d21-0123456789ab"
	backup       = "01976f5e-7d4a-7555-8d21-0123456789ab"
	endpoint     = "01976f5e-7d4a-7666-8d21-0123456789ab"
)

var failingSince = time.Date(2027, 1, 28, 9, 0, 0, 0, time.UTC)

// facts has one of each type, no field of which is zero.
var facts = []Fact{
	JobRequested{JobID: job, Kind: "ai.completion", Queue: "ai", Run: 1, Priority: 2, MaxAttempts: 5,
		RunAt: time.Date(2027, 1, 31, 9, 30, 0, 123456000, time.UTC), Overflow: true, Version: 1},
	JobCompleted{JobID: job, Kind: "ai.completion", Attempt: 2, Version: 4, Callback: true},
	JobFailed{JobID: job, Kind: "ai.completion", Attempt: 5, Code: "deadline_exceeded", Version: 12, Callback: true},
	JobCancelled{JobID: job, Kind: "ai.completion", Version: 3, Callback: true},
	OrganizationUpdated{OrganizationID: organization, Changed: []string{"name", "settings"}, Version: 7},
	ContactCreated{ContactID: contact, Type: "lead", Stage: "prospect", Status: "active", Version: 1},
	ContactUpdated{ContactID: contact, Changed: []string{"email", "tags"}, Version: 2},
	ContactDeleted{ContactID: contact, Version: 3},
	DealCreated{DealID: deal, ContactID: contact, Stage: "qualified", Value: 12_50_000_00, Currency: "INR", Version: 1},
	DealUpdated{DealID: deal, ContactID: contact, Changed: []string{"title", "value"}, Version: 2},
	DealStageChanged{DealID: deal, ContactID: contact, From: "proposal", To: "won", Version: 3},
	DealWon{DealID: deal, ContactID: contact, Value: 12_50_000_00, Currency: "INR", Version: 3},
	DealLost{DealID: deal, ContactID: contact, Value: 12_50_000_00, Currency: "INR", Version: 3},
	DealDeleted{DealID: deal, ContactID: contact, Version: 4},
	InvoiceCreated{InvoiceID: invoice, ContactID: contact, Total: 1_18_000_00, Currency: "INR", Version: 1},
	InvoiceUpdated{InvoiceID: invoice, ContactID: contact, Changed: []string{"items", "notes"}, Version: 2},
	InvoiceSent{InvoiceID: invoice, ContactID: contact, Number: "INV/26-27/00042", Total: 1_18_000_00, Currency: "INR",
		DueDate: "2027-02-15", Version: 3},
	InvoicePaid{InvoiceID: invoice, ContactID: contact, Number: "INV/26-27/00042", Total: 1_18_000_00, Currency: "INR",
		PaidAt: time.Date(2027, 2, 10, 11, 0, 0, 500000000, time.UTC), Version: 5},
	InvoiceOverdue{InvoiceID: invoice, ContactID: contact, Number: "INV/26-27/00042", AmountDue: 18_000_00, Currency: "INR",
		DueDate: "2027-02-15", Version: 4},
	InvoiceCancelled{InvoiceID: invoice, ContactID: contact, Number: "INV/26-27/00042", Version: 4},
	InvoiceDeleted{InvoiceID: invoice, ContactID: contact, Version: 2},
	InsightUpdated{InsightID: insight, Kind: "ai.lead_score", SubjectType: "contact", SubjectID: contact, JobID: job,
		Provider: "ollama", Model: "mistral:7b", Version: 2},
	MailAccepted{MessageID: job, Recipient: 2, Stream: "transactional", QueueID: "4jXKk96hrCz3S", Attempts: 2, Version: 4},
	MailFailed{MessageID: job, Recipient: 2, Stream: "transactional", Reason: "rejected", Code: 550, Status: "5.1.1", Attempts: 1, Version: 4},
	MailUnknown{MessageID: job, Recipient: 2, Stream: "transactional", Policy: "resend", Attempts: 1, Version: 4},
	MailDelivered{MessageID: job, Recipient: 2, Stream: "transactional", Action: "relayed", Version: 5},
	MailBounced{MessageID: job, Recipient: 2, Stream: "transactional", Class: "hard", Status: "5.1.1", Version: 5},
	MailComplained{MessageID: job, Recipient: 2, Stream: "reminders", Feedback: "abuse", Version: 6},
	MailSuppressed{MessageID: job, Recipient: 2, Stream: "reminders", Reason: "complaint", Version: 3},
	MailUnsubscribed{MessageID: job, Recipient: 2, Stream: "reminders", Version: 7},
	BackupCompleted{BackupID: backup, Name: "payaid_20270131_020000", JobID: job, SnapshotAt: time.Date(2027, 1, 31, 2, 0, 1, 0, time.UTC),
		Bytes: 212_000_000, Tables: 34, Rows: 3_600_000, Encrypted: true, Places: []string{"folder", "remote"}, Version: 2},
	BackupFailed{BackupID: backup, Name: "payaid_20270131_020000", JobID: job, Stage: "backup", Code: "disk_full", Version: 2},
	BackupVerified{BackupID: backup, Name: "payaid_20270131_020000", JobID: job, RestoreSeconds: 67.25, Tables: 34, Rows: 3_600_000, Version: 3},
	IndexHealthSampled{SampleID: backup, TakenAt: time.Date(2027, 1, 31, 3, 0, 0, 0, time.UTC), Indexes: 120,
		Findings: map[string]int{"invalid": 1, "unused": 2}, JobID: job, Version: 1},
	WebhookDisabled{EndpointID: endpoint, Code: "failing", Failures: 100, FailingSince: &failingSince, Version: 4},
	WebhookDeliveryRequested{DeliveryID: backup, EndpointID: endpoint, Run: 2},
	WebhookReplayRequested{EndpointID: endpoint, Since: failingSince, Until: time.Date(2027, 1, 31, 9, 29, 0, 0, time.UTC),
		Failed: true, Missed: true, Version: 5},
	BulkRequested{BulkID: backup, Action: "retry", Total: 4312},
}

func sampleOf(t *testing.T, f Fact) sample {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	id, version := f.Aggregate()
	e := Envelope{
		ID: "01976f5e-7d4a-7fff-8d21-00000000feed", Type: f.EventType(), Subject: id,
		Time:           time.Date(2027, 1, 31, 9, 29, 59, 654321000, time.UTC),
		OrganizationID: organization, AggregateVersion: version,
		CausationID: "01976f5e-7d4a-7aaa-8d21-00000000cafe", CorrelationID: "req_0123456789abcdef0123",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Data: data,
	}
	return sample{Subject(e.Type), e.Headers(), data}
}

func readSample(t *testing.T, eventType string) sample {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", eventType+".json"))
	if err != nil {
		t.Fatalf("%v: freeze it with go test ./events -update", err)
	}
	var s sample
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.Data); err != nil {
		t.Fatal(err)
	}
	s.Data = compact.Bytes()
	return s
}

func TestEveryTypeHasASample(t *testing.T) {
	t.Parallel()
	var catalogued, sampled []string
	for _, k := range Catalogue() {
		catalogued = append(catalogued, k.Type)
	}
	for _, f := range facts {
		sampled = append(sampled, f.EventType())
		v := reflect.ValueOf(f)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("the sample of %s says nothing of %s", f.EventType(), v.Type().Field(i).Name)
			}
		}
	}
	slices.Sort(catalogued)
	slices.Sort(sampled)
	if !slices.Equal(catalogued, sampled) {
		t.Errorf("catalogue %v, samples %v", catalogued, sampled)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(catalogued) {
		t.Errorf("%d files for %d types, %v", len(files), len(catalogued), err)
	}
}

// What is frozen under testdata is what others read: a change of it breaks them.
//
// Not parallel: with -update it writes what the others read.
func TestEncodingIsFrozen(t *testing.T) {
	for _, f := range facts {
		got := sampleOf(t, f)
		if *update {
			raw, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join("testdata", f.EventType()+".json"), append(raw, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(readSample(t, f.EventType()), got); diff != "" {
			t.Errorf("%s changed (-frozen +now):\n%s", f.EventType(), diff)
		}
	}
}

func TestFrozenSamplesDecode(t *testing.T) {
	t.Parallel()
	for _, want := range facts {
		s := readSample(t, want.EventType())
		e, err := ParseHeaders(func(name string) string { return s.Headers[name] }, s.Data)
		if err != nil {
			t.Errorf("%s: %v", want.EventType(), err)
			continue
		}
		if !maps.Equal(e.Headers(), s.Headers) {
			t.Errorf("%s: headers %v became %v", want.EventType(), s.Headers, e.Headers())
		}
		got, err := Decode(e)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", want.EventType(), err, diff)
		}
	}
}

// The messages are CloudEvents to a reader that is not ours.
func TestSamplesAreCloudEvents(t *testing.T) {
	t.Parallel()
	for _, f := range facts {
		s := readSample(t, f.EventType())
		e, err := binding.ToEvent(context.Background(), natsMessage(s))
		if err != nil {
			t.Errorf("%s: %v", f.EventType(), err)
			continue
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", f.EventType(), err)
		}
		id, _ := f.Aggregate()
		if e.Type() != f.EventType() || e.Subject() != id || e.Source() != Source || e.ID() == "" || e.Time().IsZero() ||
			e.Extensions()["organizationid"] != organization || e.Extensions()["aggregateversion"] == nil ||
			e.DataContentType() != "application/json" || !bytes.Equal(e.Data(), s.Data) {
			t.Errorf("%s reads as %v", f.EventType(), e)
		}
	}
}

// natsMessage is a sample as the NATS binding of CloudEvents reads it: attributes are headers with the
// prefix "ce-", the content type has its own.
type natsMessage sample

var versions = spec.WithPrefix("ce-")

func (m natsMessage) ReadEncoding() binding.Encoding { return binding.EncodingBinary }

func (m natsMessage) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (m natsMessage) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	version := versions.Version(event.CloudEventsVersionV1)
	for name, value := range m.Headers {
		var err error
		switch attribute := version.Attribute(name); {
		case strings.EqualFold(name, "Content-Type"):
			err = w.SetAttribute(version.AttributeFromKind(spec.DataContentType), value)
		case attribute != nil:
			err = w.SetAttribute(attribute, value)
		case strings.HasPrefix(name, "ce-"):
			err = w.SetExtension(strings.TrimPrefix(name, "ce-"), value)
		}
		if err != nil {
			return err
		}
	}
	return w.SetData(bytes.NewReader(m.Data))
}

func (m natsMessage) GetAttribute(kind spec.Kind) (spec.Attribute, any) {
	attribute := versions.Version(event.CloudEventsVersionV1).AttributeFromKind(kind)
	return attribute, m.Headers[attribute.PrefixedName()]
}

func (m natsMessage) GetExtension(name string) any { return m.Headers["ce-"+name] }

func (m natsMessage) Finish(error) error { return nil }
