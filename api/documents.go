package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/events"
)

const apiDescription = "The backend of a CRM and invoicing product: hand over work, and learn what became of it. " +
	"Problems are RFC 9457 with a stable code; lists are read on by cursor; times are UTC, money is in paise."

// documents describe the API, rendered once.
type documents struct {
	openAPI, asyncAPI, docs, style []byte
	// version names the shape of all answers: another program with another document may be at work on the
	// same cache, before and during a deploy.
	version string
}

// OpenAPI renders the OpenAPI 3.1 document of an API with these kinds of jobs.
func OpenAPI(kinds []Kind, version string) ([]byte, error) {
	s, err := build(Config{Kinds: kinds, Version: version})
	if err != nil {
		return nil, err
	}
	return s.documents.openAPI, nil
}

func (s *Server) makeDocuments() (err error) {
	d := &s.documents
	if d.openAPI, err = json.Marshal(s.openAPI); err != nil {
		return fmt.Errorf("render the OpenAPI document: %w", err)
	}
	sum := sha256.Sum256(d.openAPI)
	d.version = hex.EncodeToString(sum[:8])
	if d.asyncAPI, err = events.AsyncAPI(s.Version); err != nil {
		return fmt.Errorf("render the AsyncAPI document: %w", err)
	}
	if d.docs, err = renderDocs(s.openAPI, s.routes(), s.Kinds); err != nil {
		return fmt.Errorf("render the docs page: %w", err)
	}
	d.style, err = docsFiles.ReadFile("docs/style.css")
	return err
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	return serveDocument(w, "application/json", s.documents.openAPI)
}

func (s *Server) serveAsyncAPI(w http.ResponseWriter, _ *http.Request) error {
	return serveDocument(w, "application/json", s.documents.asyncAPI)
}

func (s *Server) serveDocs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Security-Policy", apiPolicy+"; style-src 'self'")
	return serveDocument(w, "text/html; charset=utf-8", s.documents.docs)
}

func (s *Server) serveStyle(w http.ResponseWriter, _ *http.Request) error {
	return serveDocument(w, "text/css; charset=utf-8", s.documents.style)
}

// toDocs sends a reader on who has asked for a page where there is none.
func toDocs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Location", "/docs")
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

func documentRedirect(_ *Server, _ huma.API, op *huma.Operation) {
	op.Responses["307"] = &huma.Response{Description: "The page is elsewhere", Headers: map[string]*huma.Param{
		"Location": {Schema: &huma.Schema{Type: huma.TypeString}}}}
}

func serveDocument(w http.ResponseWriter, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=300")
	// A client that has gone away needs no document.
	_, _ = w.Write(body)
	return nil
}

func documentJSON(_ *Server, _ huma.API, op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Description: "The document",
		Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}
}

func documentPage(_ *Server, _ huma.API, op *huma.Operation) {
	contentType := "text/html"
	if op.Path == "/docs/style.css" {
		contentType = "text/css"
	}
	op.Responses["200"] = &huma.Response{Description: "The page",
		Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}}
}
