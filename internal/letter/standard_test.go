package letter_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/letter"
)

var update = flag.Bool("update", false, "write the golden files anew")

// variants are data beside the samples: what a template does where something is left out, or is long.
func variants(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	found := make(map[string]json.RawMessage)
	for _, name := range letter.StandardNames() {
		found[name] = letter.Sample(name)
	}
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no variants: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(filepath.Base(path), ".json")] = data
	}
	return found
}

// Each letter of the product's own templates is as it was looked at.
func TestStandardLetters(t *testing.T) {
	t.Parallel()
	for variant, data := range variants(t) {
		name, _, _ := strings.Cut(variant, ".")
		made, ok := letter.Standard(name)
		if !ok {
			t.Fatalf("there is no template %s", name)
		}
		fit, faults := letter.Fit(name, data)
		if len(faults) > 0 {
			t.Errorf("%s: %v", variant, faults)
			continue
		}
		l, err := made.Render(fit)
		if err != nil {
			t.Errorf("%s: %v", variant, err)
			continue
		}
		if len(l.HTML) > 20_000 && !strings.Contains(variant, "long") {
			t.Errorf("%s has %d bytes of HTML", variant, len(l.HTML))
		}
		golden(t, variant+".txt", "Subject: "+l.Subject+"\n\n"+l.Text)
		golden(t, variant+".html", l.HTML)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "letters", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is now:\n%s\nwrite it anew with -update, and look at it", path, got)
	}
}
