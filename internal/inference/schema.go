package inference

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaURL is the name under which a prompt's schema is compiled. Its scheme
// is one that nothing can be loaded from.
const schemaURL = "prompt:///schema.json"

// schema is a prompt's JSON schema, compiled.
type schema struct {
	source   json.RawMessage
	compiled *jsonschema.Schema
	strict   bool // fit for constrained decoding
}

// noLoader refuses references to other documents: a client's schema must not
// make this process read a file or a URL.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not followed")
}

// compileSchema reads a client's schema. Its error is permanent, and says where
// in the schema the mistake is.
func compileSchema(source json.RawMessage) (*schema, *Error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		return nil, &Error{Class: Request, Detail: "invalid schema: it is not JSON", verdict: fail}
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, doc); err != nil {
		return nil, invalidSchema(err)
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, invalidSchema(err)
	}
	return &schema{source: source, compiled: compiled, strict: isStrict(doc)}, nil
}

func invalidSchema(err error) *Error {
	e := &Error{Class: Request, verdict: fail}
	var bad *jsonschema.SchemaValidationError
	var fault *jsonschema.ValidationError
	var load *jsonschema.LoadURLError
	switch {
	case errors.As(err, &bad) && errors.As(bad.Err, &fault):
		fault = deepest(fault)
		e.Pointer = pointer(fault.InstanceLocation)
		e.Detail = fmt.Sprintf("invalid schema: %s breaks the rule %q of JSON schema", e.Pointer, keyword(fault))
	case errors.As(err, &load):
		e.Detail = "invalid schema: references to other documents are not followed"
	default:
		e.Detail = "invalid schema: a reference or a regular expression in it can't be resolved"
	}
	return e
}

// read finds the document in a model's answer, repairing the text where that
// loses nothing. changed says that the document is not the text as it came. why
// says what is wrong, in words for the model: it may quote the answer.
func (s *schema) read(text string) (doc json.RawMessage, changed bool, why error) {
	doc, ok := repair(text, func(d json.RawMessage) bool {
		err := s.check(d)
		if why == nil {
			why = err
		}
		return err == nil
	})
	if ok {
		return doc, string(doc) != text, nil
	}
	if why == nil {
		why = errors.New("it is not a JSON document")
	}
	return nil, false, why
}

func (s *schema) check(doc json.RawMessage) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return errors.New("it is not a JSON document")
	}
	if err := s.compiled.Validate(value); err != nil {
		return err
	}
	return keepable(doc)
}

// Satisfies says whether a document is one that a schema asks for: none where there is no schema.
func Satisfies(doc, schema json.RawMessage) bool {
	if schema == nil {
		return doc == nil
	}
	s, bad := compileSchema(schema)
	return bad == nil && s.check(doc) == nil
}

// breach names the rule of the schema that an answer broke, without anything
// of the answer.
func breach(why error) string {
	var fault *jsonschema.ValidationError
	if errors.Is(why, errUnkeepable) {
		return "gave an answer that can't be kept: " + why.Error()
	}
	if !errors.As(why, &fault) {
		return "gave an answer that is no JSON"
	}
	fault = deepest(fault)
	_, at, _ := strings.Cut(fault.SchemaURL, "#")
	return fmt.Sprintf("gave an answer that breaks the rule %q of the schema at %q", keyword(fault), at)
}

func deepest(fault *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(fault.Causes) > 0 {
		fault = fault.Causes[0]
	}
	return fault
}

func keyword(fault *jsonschema.ValidationError) string {
	path := fault.ErrorKind.KeywordPath()
	if len(path) == 0 {
		return "schema"
	}
	return path[0]
}

func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// followed are the keywords that constrained decoding may follow. Bounds are
// among them: a server that doesn't know them says so, and is then asked without.
var followed = []string{
	"$schema", "$defs", "$ref", "title", "description",
	"type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items",
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	"minLength", "maxLength", "pattern", "format", "minItems", "maxItems",
}

// isStrict says whether doc satisfies what Groq's strict mode asks for: the
// root is an object, and every object requires all its properties and forbids
// others.
func isStrict(doc any) bool {
	root, ok := doc.(map[string]any)
	return ok && root["type"] == "object" && strictNode(root)
}

func strictNode(doc any) bool {
	node, ok := doc.(map[string]any)
	if !ok || len(node) == 0 || !closed(node) {
		return false
	}
	for key, value := range node {
		if !slices.Contains(followed, key) {
			return false
		}
		switch key {
		case "properties", "$defs":
			nodes, isMap := value.(map[string]any)
			ok = isMap && all(maps.Values(nodes))
		case "items":
			ok = strictNode(value)
		case "anyOf":
			nodes, isList := value.([]any)
			ok = isList && all(slices.Values(nodes))
		case "$ref":
			ref, isText := value.(string)
			ok = isText && strings.HasPrefix(ref, "#")
		}
		if !ok {
			return false
		}
	}
	return true
}

func all(nodes iter.Seq[any]) bool {
	for node := range nodes {
		if !strictNode(node) {
			return false
		}
	}
	return true
}

// closed says whether a node that describes an object names all that it may
// hold.
func closed(node map[string]any) bool {
	properties, has := node["properties"].(map[string]any)
	if !has {
		return node["type"] != "object"
	}
	required, _ := node["required"].([]any)
	for name := range properties {
		if !slices.Contains(required, any(name)) {
			return false
		}
	}
	return node["additionalProperties"] == false
}

func (s *schema) rootIsObject() bool {
	var root struct{ Type any }
	return json.Unmarshal(s.source, &root) == nil && root.Type == "object"
}
