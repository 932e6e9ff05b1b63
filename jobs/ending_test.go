package jobs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

func specOf(t *testing.T, kind string) jobs.Spec {
	t.Helper()
	for _, j := range jobs.All(jobs.Deps{}) {
		if j.Kind == kind {
			return j.Spec
		}
	}
	t.Fatalf("there is no kind %s", kind)
	return jobs.Spec{}
}

// checkEnd holds a job that has ended to what the documents say of its kind.
func checkEnd(t *testing.T, j store.Job) {
	t.Helper()
	spec := specOf(t, j.Kind)
	switch j.Status {
	case store.Succeeded:
		if !inference.Satisfies(j.Output, spec.OutputSchema) {
			t.Errorf("the output of %s is not what its schema says: %s", j.Kind, j.Output)
		}
	case store.Failed:
		var e struct {
			Type, Code string
			Status     int
		}
		if err := json.Unmarshal(j.Error, &e); err != nil {
			t.Fatal(err)
		}
		named := func(c jobs.Code) bool { return c.Name == e.Code && c.Status == e.Status }
		if e.Type != "/docs#"+e.Code || !slices.ContainsFunc(spec.Codes(), named) {
			t.Errorf("%s failed with %s, which the documents don't explain", j.Kind, j.Error)
		}
	}
}

// What a client may submit is explained to it: what it does, what comes of it, what it may fail with.
func TestKindsAreExplained(t *testing.T) {
	t.Parallel()
	sentence := regexp.MustCompile(`^[A-Z].*\.$`)
	for _, j := range jobs.All(jobs.Deps{}) {
		if j.Spec.Scope == "" {
			continue
		}
		if !sentence.MatchString(j.Spec.Summary) || !sentence.MatchString(j.Spec.Notes) {
			t.Errorf("%s: summary %q, notes %q", j.Kind, j.Spec.Summary, j.Spec.Notes)
		}
		if len(j.Spec.OutputSchema) == 0 || inference.CheckSchema(j.Spec.OutputSchema) != nil || len(j.Spec.Fails) == 0 {
			t.Errorf("%s: fails with %v, output %s", j.Kind, j.Spec.Fails, j.Spec.OutputSchema)
		}
		if inference.Satisfies(json.RawMessage(`{"x":1}`), j.Spec.OutputSchema) {
			t.Errorf("the schema of the output of %s takes anything", j.Kind)
		}
		var names []string
		for _, c := range j.Spec.Codes() {
			names = append(names, c.Name)
			if c.Status < 422 || !sentence.MatchString(c.Meaning) {
				t.Errorf("%s: %+v", j.Kind, c)
			}
		}
		if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s fails twice with the same: %v", j.Kind, names)
		}
	}
}

// A failure that somebody writes into the program has a code that the documents explain.
func TestCodesOfFailuresAreExplained(t *testing.T) {
	t.Parallel()
	var known []string
	for _, j := range jobs.All(jobs.Deps{}) {
		for _, c := range j.Spec.Codes() {
			known = append(known, c.Name)
		}
	}
	found := 0
	for _, dir := range []string{".", "../workers"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, code := range codesIn(t, file) {
				if found++; !slices.Contains(known, code) {
					t.Errorf("%s: no kind is said to fail with %s", file, code)
				}
			}
		}
	}
	if found < 7 {
		t.Errorf("found %d codes", found)
	}
}

// codesIn gives the texts that a file has for codes: those of failures, and constants named so.
func codesIn(t *testing.T, file string) (codes []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if text, ok := e.(*ast.BasicLit); ok && text.Kind == token.STRING {
			if code, err := strconv.Unquote(text.Value); err == nil {
				codes = append(codes, code)
			}
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
				add(n.Value)
			}
		case *ast.ValueSpec:
			if strings.HasPrefix(n.Names[0].Name, "code") && len(n.Values) == 1 {
				add(n.Values[0])
			}
		}
		return true
	})
	return codes
}
