package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/papers"
)

// getInvoicePDF draws an invoice. A draft is one as well, and says so.
func (s *Server) getInvoicePDF(w http.ResponseWriter, r *http.Request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	paper, err := s.DB.InvoicePaper(r.Context(), exchangeOf(r.Context()).caller.OrganizationID, id)
	if err != nil {
		return err
	}
	tag := `"` + paper.Edition() + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", revalidate)
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	content, err := papers.Invoice(r.Context(), paper)
	if err != nil {
		return err
	}
	name := papers.InvoiceFilename(paper)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"; filename*=UTF-8''`+name)
	w.Header().Set("Content-Type", "application/pdf")
	// A client that has gone away needs no file.
	_, _ = w.Write(content)
	return nil
}

func documentInvoicePDF(_ *Server, _ huma.API, op *huma.Operation) {
	text := &huma.Schema{Type: huma.TypeString}
	op.Parameters = append(op.Parameters, &huma.Param{Name: "id", In: "path", Required: true, Schema: text},
		&huma.Param{Name: "If-None-Match", In: "header", Schema: text})
	op.Responses["200"] = &huma.Response{
		Description: "The file. A draft has no number and says on every page that it is one; so does what was cancelled",
		Headers: map[string]*huma.Param{
			"ETag":                {Schema: text, Description: "Names what the file says"},
			"Content-Disposition": {Schema: text, Description: "Has the name of the file"},
			"Cache-Control":       {Schema: text},
		},
		Content: map[string]*huma.MediaType{"application/pdf": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	op.Responses["304"] = &huma.Response{Description: "The client has it"}
}
