package letter

import (
	"slices"
	"strings"
	"testing"
)

// A function is in the catalogue if and only if it can be called.
func TestFunctionsAreInTheCatalogue(t *testing.T) {
	t.Parallel()
	there := []string{"and", "not", "or"} // of text/template
	for name := range (&work{}).functions() {
		if !strings.HasPrefix(name, "_") {
			there = append(there, name)
		}
	}
	if slices.Sort(there); !slices.Equal(there, functionNames) {
		t.Errorf("there are %v, the catalogue has %v", there, functionNames)
	}
}
