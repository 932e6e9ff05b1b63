package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/payaid/payaid/operator"
)

// huma keeps these for the whole process: how an error is made that it finds by itself, how numbers look in
// it, that names of fields are compared exactly, and that an empty list is never null.
func init() {
	huma.ErrorFormatter = func(format string, values ...any) string {
		for i, v := range values {
			if n, ok := v.(float64); ok {
				values[i] = written(n)
			}
		}
		return fmt.Sprintf(format, values...)
	}
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return &problem{Status: status, Detail: msg}
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		x := exchangeOf(ctx.Context())
		return x.server.problem(x, humaError(x.body, status, msg, errs))
	}
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
}

// humaError gives what huma finds wrong our code and our pointers.
func humaError(body []byte, status int, msg string, errs []error) error {
	switch {
	case status == http.StatusNotAcceptable:
		return refuse("not_acceptable", msg)
	case status >= 500:
		return errors.Join(append(errs, errors.New(msg))...)
	}
	// The guard has seen to media type, size and syntax, so what is left are values.
	var faults []Fault
	for _, err := range errs {
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			faults = append(faults, numberFault(body, faultOf(d.ErrorDetail())))
		}
	}
	return invalid(faults...)
}

// faultOf translates a location such as "body.items[3].name" into the pointer "/items/3/name".
func faultOf(d *huma.ErrorDetail) Fault {
	location, inBody := strings.CutPrefix(d.Location, "body")
	if !inBody {
		location = "." + location
	}
	pointer := strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(location)
	if name, ok := strings.CutPrefix(d.Message, "expected required property "); ok {
		name, _, _ = strings.Cut(name, " to be present")
		return Fault{Pointer: pointer + "/" + name, Detail: "is required"}
	}
	if strings.HasPrefix(d.Message, "expected string to be RFC 4122 uuid") {
		return Fault{Pointer: pointer, Detail: "expected a UUID"} // without what its parser says
	}
	if strings.HasPrefix(d.Message, "invalid date/time for format ") {
		return Fault{Pointer: pointer, Detail: "expected a time such as 2026-01-31T09:00:00Z (RFC 3339)"} // not how Go writes formats
	}
	return Fault{Pointer: pointer, Detail: d.Message}
}

// jsonFormat is JSON as huma reads and writes it. What was rendered before goes out as it is.
var jsonFormat = huma.Format{Marshal: marshal, Unmarshal: json.Unmarshal}

var newline = []byte("\n")

func marshal(w io.Writer, v any) error {
	if r, ok := v.(interface{ rendered() []byte }); ok {
		if _, err := w.Write(r.rendered()); err != nil {
			return err
		}
		_, err := w.Write(newline)
		return err
	}
	return huma.DefaultJSONFormat.Marshal(w, v)
}

// mount builds the handler of the whole URL space, and the documents that describe it.
func (s *Server) mount() error {
	mux := &guardedMux{ServeMux: http.NewServeMux(), server: s, routes: make(map[string]route)}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[operator.Object](), reflect.TypeFor[jsonObject]())
	api := humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "PayAid", Version: s.Version, Description: apiDescription},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", BearerFormat: "pay_…"},
				},
			},
		},
		Formats: map[string]huma.Format{
			"application/json": jsonFormat, "json": jsonFormat,
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	})
	s.mux, s.openAPI = mux, api.OpenAPI()
	for _, rt := range s.routes() {
		mux.routes[rt.method+" "+rt.path] = rt
		rt.register(s, api, rt)
	}
	s.documentUnchanged(s.routes())
	s.documentWebhooks(api)
	s.openAPI.Tags = resourceTags(s.routes())
	s.documentLimits(api, s.routes())
	listNulls(registry.Map())
	s.handler = s.edge(mux)
	return s.makeDocuments()
}

// guardedMux puts the guard of its route before every handler.
type guardedMux struct {
	*http.ServeMux
	server *Server
	routes map[string]route
}

// HandleFunc implements humago.Mux.
func (m *guardedMux) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	handler = m.server.guard(m.routes[pattern], handler)
	if strings.HasSuffix(pattern, "/") {
		pattern += "{$}" // that path alone, not all below
	}
	m.ServeMux.HandleFunc(pattern, handler)
}

// typed registers a handler whose input and output huma reads and writes by their types.
func typed[I, O any](handle func(context.Context, *I) (*O, error), status int) func(*Server, huma.API, route) {
	return func(s *Server, api huma.API, rt route) {
		op := s.operation(rt)
		op.DefaultStatus = status
		huma.Register(api, *op, func(ctx context.Context, in *I) (*O, error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, s.problem(exchangeOf(ctx), err)
			}
			return out, nil
		})
	}
}

// raw registers a handler that reads and writes by itself, and says how it is documented.
func raw(handle func(http.ResponseWriter, *http.Request) error, document func(*Server, huma.API, *huma.Operation)) func(*Server, huma.API, route) {
	return func(s *Server, api huma.API, rt route) {
		op := s.operation(rt)
		op.Responses = map[string]*huma.Response{"default": problemResponse(api)}
		document(s, api, op)
		api.OpenAPI().AddOperation(op)
		api.Adapter().Handle(op, func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			if err := handle(w, r); err != nil {
				s.fail(w, exchangeOf(r.Context()), err)
			}
		})
	}
}

// operation is what all routes document alike.
func (s *Server) operation(rt route) *huma.Operation {
	op := &huma.Operation{
		OperationID:     operationID(rt),
		Method:          rt.method,
		Path:            rt.path,
		Summary:         rt.summary,
		Tags:            []string{resourceOf(rt.path)},
		MaxBodyBytes:    -1, // the guard has read it
		BodyReadTimeout: 0,
	}
	if rt.scopes != 0 {
		op.Security = []map[string][]string{{"key": {}}}
		op.Description = "Scope: " + rt.scopes.String() + "."
	}
	if rt.creates {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header",
			Description: "1 to 255 characters, bare or quoted. It counts for this method and path: the same key and body, sent here " +
				"again within 24 hours, get the same answer. Sent elsewhere it is another key.",
			Schema: &huma.Schema{Type: huma.TypeString}})
	}
	return op
}

func operationID(rt route) string {
	if strings.HasSuffix(rt.path, "/") {
		rt.path += "index"
	}
	name := strings.NewReplacer("/api/", "", "/", "-", "{", "", "}", "", ".", "-").Replace(rt.path)
	return strings.ToLower(rt.method) + "-" + strings.Trim(name, "-")
}

func problemResponse(api huma.API) *huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	return &huma.Response{Description: "A problem", Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
}

// documentUnchanged adds to the document the answer to who has the newest version already.
func (s *Server) documentUnchanged(routes []route) {
	for _, rt := range routes {
		op := operationOf(s.openAPI.Paths[rt.path], rt.method)
		if slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "If-None-Match" }) {
			op.Responses["304"] = &huma.Response{Description: "Nothing has changed since the ETag in If-None-Match was read"}
		}
	}
}

// listNulls adds null to the values of those that may be null: beside a list of values, the type alone doesn't
// allow it (JSON Schema, 6.1.2).
func listNulls(schemas map[string]*huma.Schema) {
	for _, s := range schemas {
		for _, field := range s.Properties {
			if field.Nullable && len(field.Enum) > 0 {
				field.Enum = append(field.Enum, nil)
			}
		}
	}
}

func schemaOf[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// encoded is a body that was rendered before, of the shape T.
type encoded[T any] struct{ json json.RawMessage }

// MarshalJSON implements json.Marshaler.
func (e encoded[T]) MarshalJSON() ([]byte, error) { return e.json, nil }

func (e encoded[T]) rendered() []byte { return e.json }

// Schema implements huma.SchemaProvider.
func (encoded[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}
