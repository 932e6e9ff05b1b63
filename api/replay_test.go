package api

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// A recording is one answer that a test was given.
type recording struct {
	method, path string
	status       int
	header       http.Header
	body         []byte
}

// tape keeps some answers of each kind from all tests of a run.
var tape struct {
	sync.Mutex
	recordings map[string][]recording
}

var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// Beyond these of one operation and status another answer says little more.
const recordingsEach = 5

func record(r recording) {
	if strings.HasPrefix(r.path, "/admin") {
		return // pages are no part of the document
	}
	tape.Lock()
	defer tape.Unlock()
	if tape.recordings == nil {
		tape.recordings = map[string][]recording{}
	}
	bare, _, _ := strings.Cut(r.path, "?")
	key := fmt.Sprint(r.method, " ", anID.ReplaceAllString(bare, "{id}"), " ", r.status)
	if len(tape.recordings[key]) < recordingsEach {
		tape.recordings[key] = append(tape.recordings[key], r)
	}
}

// recorded runs the tests and afterwards replays what they recorded against the served document, as a
// reader of OpenAPI that is not ours understands it.
type recorded struct{ m *testing.M }

// Run implements what localstack.RunTests wants.
func (r recorded) Run() int {
	code := r.m.Run()
	if code != 0 {
		return code
	}
	faults, err := replay(flag.Lookup("test.run").Value.String() == "")
	if err != nil {
		faults = append(faults, err.Error())
	}
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, "recorded answers against the served document:", fault)
	}
	return min(len(faults), 1)
}

// replay gives what recorded answers and the document disagree about. Of all operations it wants one
// success at least.
func replay(all bool) (faults []string, err error) {
	raw, err := OpenAPI(testKinds(), "test")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, list := range tape.recordings {
		for _, r := range list {
			route, err := r.replay(router)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s %s: %d %.300s: %v", r.method, r.path, r.status, r.body, err))
			}
			if route != nil && r.status < 400 {
				seen[route.Method+" "+route.Path] = true
			}
		}
	}
	s, err := build(Config{Kinds: testKinds()})
	if err != nil {
		return nil, err
	}
	for _, rt := range s.routes() {
		if name := rt.method + " " + rt.path; all && !seen[name] {
			faults = append(faults, name+": no test has seen it succeed")
		}
	}
	slices.Sort(faults)
	return faults, nil
}

func (r recording) replay(router routers.Router) (*routers.Route, error) {
	if r.method == http.MethodHead {
		return nil, nil // GET without its body
	}
	req, err := http.NewRequestWithContext(context.Background(), r.method, r.path, nil)
	if err != nil {
		return nil, err
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		if r.status >= 400 {
			return nil, nil // the mux refused
		}
		return nil, err
	}
	options := &openapi3filter.Options{IncludeResponseStatus: r.status < 400, MultiError: true,
		ExcludeResponseBody:     !strings.Contains(r.header.Get("Content-Type"), "json"),
		SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.EnableJSONSchema2020()}}
	return route, openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options},
		Status:                 r.status, Header: r.header, Body: io.NopCloser(bytes.NewReader(r.body)), Options: options,
	})
}
