package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func document(t *testing.T) []byte {
	t.Helper()
	raw, err := OpenAPI(testKinds(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// lint says what is wrong with an OpenAPI document: by the specification, as a reader that is not ours
// understands it, and by the rules that our clients rely on.
func lint(raw []byte) []string {
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return []string{"it can't be read: " + err.Error()}
	}
	var faults []string
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		faults = append(faults, "by the specification: "+err.Error())
	}
	l := linter{doc: doc}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			l.operation(method+" "+path, path, op)
		}
	}
	for name, schema := range doc.Components.Schemas {
		l.schema(name, schema)
		if !strings.Contains(string(raw), `"#/components/schemas/`+name+`"`) {
			l.fault("schema %s is used nowhere", name)
		}
	}
	slices.Sort(l.faults)
	return append(faults, l.faults...)
}

type linter struct {
	doc    *openapi3.T
	faults []string
}

func (l *linter) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

var (
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	inPath    = regexp.MustCompile(`\{[^}]+\}`)
)

func (l *linter) operation(what, path string, op *openapi3.Operation) {
	if op.OperationID == "" || op.Summary == "" {
		l.fault("%s has no operationId or no summary", what)
	}
	if strings.HasSuffix(op.Summary, ".") {
		l.fault("%s: the summary is a phrase without a full stop", what)
	}
	if op.Security == nil && strings.HasPrefix(path, "/api/") && !strings.Contains(path, "health") {
		l.fault("%s says nothing of the key that it asks for", what)
	}
	if op.RequestBody != nil && !op.RequestBody.Value.Required {
		l.fault("%s: the body is not said to be required", what)
	}
	var named []string
	for _, p := range op.Parameters {
		if p.Value.In == "path" {
			named = append(named, "{"+p.Value.Name+"}")
		}
		if p.Value.In == "query" && !snakeCase.MatchString(p.Value.Name) {
			l.fault("%s: query parameter %s is not snake_case", what, p.Value.Name)
		}
		l.schema(what+" "+p.Value.Name, p.Value.Schema)
	}
	if want := inPath.FindAllString(path, -1); !slices.Equal(named, want) {
		l.fault("%s: path parameters %v", what, named)
	}
	l.responses(what, op)
}

func (l *linter) responses(what string, op *openapi3.Operation) {
	success := false
	for status, r := range op.Responses.Map() {
		success = success || strings.HasPrefix(status, "2") || strings.HasPrefix(status, "3")
		if r.Value.Description == nil || *r.Value.Description == "" {
			l.fault("%s: response %s has no description", what, status)
		}
		for media, content := range r.Value.Content {
			if status == "default" && media != problemType {
				l.fault("%s: problems come as %s", what, media)
			}
			l.schema(what+" "+status, content.Schema)
		}
	}
	if !success {
		l.fault("%s documents no success", what)
	}
	if op.Responses.Default() == nil {
		l.fault("%s documents no problems", what)
	}
}

// metricsSchemas are of the system's metrics, whose names dashboards of operators know from before.
var metricsSchemas = []string{"AiMetricsView", "ApiMetricsView", "CostView", "DatabaseMetricsView", "ProviderMetrics", "ProviderState", "SavingsView", "SystemView", "WebhookMetricsView", "WorkerStates"}

func (l *linter) schema(what string, ref *openapi3.SchemaRef) {
	if ref == nil || ref.Value == nil {
		return
	}
	if ref.Ref != "" { // looked at where it is defined
		return
	}
	s := ref.Value
	if s.Type.Is("array") && s.Items == nil {
		l.fault("%s is a list of nobody knows what", what)
	}
	if s.Type.Includes("null") && len(s.Enum) > 0 && !slices.Contains(s.Enum, any(nil)) {
		l.fault("%s may be null, but no value of it is", what)
	}
	for _, required := range s.Required {
		if s.Properties[required] == nil {
			l.fault("%s requires %s, which it doesn't have", what, required)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !snakeCase.MatchString(name) && !slices.Contains(metricsSchemas, what) {
			l.fault("%s: %s is not snake_case", what, name)
		}
		l.schema(what+"."+name, s.Properties[name])
	}
	l.schema(what+"[]", s.Items)
}

func TestDocumentPassesTheLinter(t *testing.T) {
	t.Parallel()
	for _, fault := range lint(document(t)) {
		t.Error(fault)
	}
}

// What the linter is for must show in it.
func TestLinterFinds(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(doc map[string]any){
		"by the specification": func(doc map[string]any) { delete(doc["info"].(map[string]any), "title") },
		"no summary": func(doc map[string]any) {
			delete(doc["paths"].(map[string]any)["/api/jobs"].(map[string]any)["get"].(map[string]any), "summary")
		},
		"documents no problems": func(doc map[string]any) {
			delete(doc["paths"].(map[string]any)["/api/jobs"].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any), "default")
		},
		"says nothing of the key": func(doc map[string]any) {
			delete(doc["paths"].(map[string]any)["/api/jobs"].(map[string]any)["get"].(map[string]any), "security")
		},
		"used nowhere": func(doc map[string]any) {
			doc["components"].(map[string]any)["schemas"].(map[string]any)["Orphan"] = map[string]any{"type": "object"}
		},
		"not snake_case": func(doc map[string]any) {
			doc["components"].(map[string]any)["schemas"].(map[string]any)["Problem"].(map[string]any)["properties"].(map[string]any)["requestID"] = map[string]any{"type": "string"}
		},
		"may be null, but": func(doc map[string]any) {
			doc["components"].(map[string]any)["schemas"].(map[string]any)["Problem"].(map[string]any)["properties"].(map[string]any)["code"] = map[string]any{"type": []string{"string", "null"}, "enum": []string{"x"}}
		},
		"can't be read": func(doc map[string]any) { doc["paths"] = 7 },
	} {
		var doc map[string]any
		if err := json.Unmarshal(document(t), &doc); err != nil {
			t.Fatal(err)
		}
		spoil(doc)
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if faults := strings.Join(lint(raw), "\n"); !strings.Contains(faults, what) {
			t.Errorf("a document with the fault %q passes: %q", what, faults)
		}
	}
}
