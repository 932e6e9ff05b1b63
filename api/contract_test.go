package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the served OpenAPI document, as answers are held against it.
type contract struct {
	mu       sync.Mutex
	doc      map[string]any
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

var served = sync.OnceValues(func() (*contract, error) {
	raw, err := OpenAPI(testKinds(), "test")
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		return nil, err
	}
	return &contract{doc: doc.(map[string]any), compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
})

// at gives the schema at a pointer of the document.
func (c *contract) at(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.compiled[pointer]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile("openapi.json#" + pointer)
	c.compiled[pointer] = s
	return s, err
}

// fulfils says what is wrong with an answer by the document, nil for nothing.
func (c *contract) fulfils(method, path string, status int, contentType string, body []byte) error {
	bare, _, _ := strings.Cut(path, "?")
	paths := c.doc["paths"].(map[string]any)
	if exact, ok := paths[bare].(map[string]any); ok && exact[strings.ToLower(method)] != nil {
		paths = map[string]any{bare: exact} // where a template fits as well, the mux goes by the path itself
	}
	for template, item := range paths {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(template), "[^/]+") + "$")
		op, ok := item.(map[string]any)[strings.ToLower(method)].(map[string]any)
		if !ok || !pattern.MatchString(bare) {
			continue
		}
		answer := fmt.Sprint(status)
		responses := op["responses"].(map[string]any)
		if responses[answer] == nil {
			if answer = "default"; status < 400 {
				return fmt.Errorf("status %d is not documented", status)
			}
		}
		content, _ := responses[answer].(map[string]any)["content"].(map[string]any)
		if content == nil && len(body) == 0 {
			return nil
		}
		media, _, _ := strings.Cut(contentType, ";")
		if content[media] == nil {
			return fmt.Errorf("%d with %s is not documented", status, media)
		}
		if media != "application/json" && media != problemType {
			return nil
		}
		escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
		s, err := c.at("/paths/" + escape(template) + "/" + strings.ToLower(method) + "/responses/" + answer + "/content/" + escape(media) + "/schema")
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		return s.Validate(value)
	}
	return nil // no such route: the mux refused
}

func TestDocumentIsWholeAndSound(t *testing.T) {
	t.Parallel()
	c, err := served()
	if err != nil {
		t.Fatal(err)
	}
	if c.doc["openapi"] != "3.1.0" {
		t.Errorf("openapi %v", c.doc["openapi"])
	}
	documented, ids := map[string]bool{}, map[string]bool{}
	for path, item := range c.doc["paths"].(map[string]any) {
		for method, v := range item.(map[string]any) {
			op := v.(map[string]any)
			documented[strings.ToUpper(method)+" "+path] = true
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operation id %q", method, path, id)
			}
			ids[id] = true
			if op["summary"] == "" || len(op["responses"].(map[string]any)) < 2 {
				t.Errorf("%s %s: summary %v, responses %v", method, path, op["summary"], op["responses"])
			}
			if _, ok := op["responses"].(map[string]any)["default"]; !ok {
				t.Errorf("%s %s documents no problems", method, path)
			}
			checkParameters(t, path, op)
		}
	}
	s, err := build(Config{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]bool{}
	for _, rt := range s.routes() {
		table[rt.method+" "+rt.path] = true
	}
	if !maps.Equal(documented, table) {
		t.Errorf("documented %v\ntable %v", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(table)))
	}
	for name := range c.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := c.at("/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	// What else is referred to, the linter's reader looks up.
	refs := regexp.MustCompile(`"\$ref":"#(/components/schemas/[^"]+)"`)
	raw, _ := json.Marshal(c.doc)
	for _, m := range refs.FindAllStringSubmatch(string(raw), -1) {
		if _, err := c.at(m[1]); err != nil {
			t.Errorf("reference %s: %v", m[1], err)
		}
	}
}

// checkParameters wants each variable of the path as a parameter, and the other way round.
func checkParameters(t *testing.T, path string, op map[string]any) {
	t.Helper()
	var names []string
	list, _ := op["parameters"].([]any)
	for _, v := range list {
		p := v.(map[string]any)
		if p["schema"] == nil {
			t.Errorf("%s: parameter %v has no schema", path, p["name"])
		}
		if p["in"] == "path" {
			names = append(names, "{"+p["name"].(string)+"}")
		}
	}
	if got := regexp.MustCompile(`\{[^}]+\}`).FindAllString(path, -1); !slices.Equal(got, names) {
		t.Errorf("%s: path parameters %v", path, names)
	}
}

func TestSubmitSchemaKnowsTheKinds(t *testing.T) {
	t.Parallel()
	c, err := served()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.at("/paths/~1api~1jobs/post/requestBody/content/application~1json/schema")
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]bool{
		aCompletion:                           true,
		`{"kind":"ai.completion","input":{}}`: false,
		`{"kind":"mail.send","input":{},"priority":"low","run_at":null}`: true,
		`{"kind":"no.such","input":{}}`:                                  false,
		`{"kind":"mail.send","input":{},"x":1}`:                          false,
	} {
		v, _ := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err := s.Validate(v); (err == nil) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}
