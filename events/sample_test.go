package events

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSampleOfEveryType(t *testing.T) {
	t.Parallel()
	for _, want := range facts {
		e, err := Sample(want.EventType())
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := Decode(e)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", want.EventType(), err, diff)
		}
	}
	for _, name := range []string{"", "no.such", "../golden_test.go", "job.completed.json"} {
		if _, err := Sample(name); !errors.Is(err, ErrNotAnEvent) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
