package api

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

const (
	mostExported = 100_000
	exportPage   = 1000
	// An export may take longer than a page, in parts of which each is bounded.
	exportPatience = time.Second
	exportTime     = 60 * time.Second
)

type exportInput struct {
	AdminJobFilter
	Format string `query:"format" enum:"csv,ndjson" default:"csv"`
}

// adminExportJobs streams the list, without content, as CSV or as lines of JSON.
func (s *Server) adminExportJobs(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	exchangeOf(ctx).lasting = true
	if in.ID != "" {
		return nil, invalid(Fault{"/query/id", "is not for exports; read the job by itself"})
	}
	if err := in.allow(exchangeOf(ctx).caller); err != nil {
		return nil, err
	}
	first, err := s.exportPart(ctx, in, store.AdminJobPlace{})
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		media := map[string]string{"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[in.Format]
		hc.SetHeader("Content-Type", media)
		hc.SetHeader("Content-Disposition", `attachment; filename="jobs-`+time.Now().UTC().Format("20060102-150405")+"."+in.Format+`"`)
		hc.SetHeader("Cache-Control", "no-store")
		// A client that has gone away can't be told.
		_ = s.export(ctx, hc.BodyWriter(), in, first)
	}}, nil
}

func (s *Server) exportPart(ctx context.Context, in *exportInput, from store.AdminJobPlace) (part store.AdminJobPage, err error) {
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		part, err = store.AdminJobs(ctx, tx, in.rows(), from, exportPage, exportPatience)
		return err
	})
	return part, err
}

// export writes part after part, and says at the end when there is more than it may write.
func (s *Server) export(ctx context.Context, w io.Writer, in *exportInput, part store.AdminJobPage) error {
	lines := newExportLines(w, in.Format)
	until := time.Now().Add(exportTime)
	for n := 0; ; {
		for _, j := range part.Jobs {
			if n == mostExported {
				return lines.end("cut off after " + strconv.Itoa(mostExported) + " jobs; narrow the list by time")
			}
			if err := lines.write(lineOf(j)); err != nil {
				return err
			}
			n++
		}
		if part.Next.Done() {
			return lines.flush()
		}
		if time.Now().After(until) {
			return lines.end("cut off after " + exportTime.String() + "; narrow the list by time, kind or organization")
		}
		var err error
		if part, err = s.exportPart(ctx, in, part.Next); err != nil {
			return lines.end("cut off, as the database did not answer in time; narrow the list")
		}
	}
}

// exportLines writes jobs in one of the formats.
type exportLines struct {
	csv *csv.Writer // nil: JSON
	w   io.Writer
}

var exportColumns = []string{"id", "internal", "organization_id", "organization_name", "kind", "queue", "status", "priority", "run",
	"attempt", "max_attempts", "created_at", "run_at", "started_at", "finished_at", "waiting_reason", "error_code", "error_detail", "request_id"}

func newExportLines(w io.Writer, format string) *exportLines {
	l := &exportLines{w: w}
	if format == "csv" {
		l.csv = csv.NewWriter(w)
		_ = l.csv.Write(exportColumns) // the writer keeps its error until it is flushed
	}
	return l
}

func (l *exportLines) write(j operator.Job) error {
	if l.csv == nil {
		line, err := encode(j)
		if err == nil {
			_, err = l.w.Write(append(line, '\n'))
		}
		return err
	}
	moment := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return l.csv.Write([]string{j.ID, strconv.FormatBool(j.Internal), deref(j.OrganizationID), inert(deref(j.OrganizationName)), inert(j.Kind), inert(j.Queue),
		j.Status, j.Priority, strconv.Itoa(j.Run), strconv.Itoa(j.Attempt), strconv.Itoa(j.MaxAttempts), moment(&j.CreatedAt), moment(&j.RunAt),
		moment(j.StartedAt), moment(j.FinishedAt), inert(deref(j.WaitingReason)), inert(deref(j.ErrorCode)), inert(deref(j.ErrorDetail)), inert(deref(j.RequestID))})
}

// inert keeps spreadsheets from reading a text as a formula.
func inert(text string) string {
	if text != "" && (text[0] == '=' || text[0] == '+' || text[0] == '-' || text[0] == '@' || text[0] == '\t' || text[0] == '\r') {
		return "'" + text
	}
	return text
}

func (l *exportLines) end(why string) error {
	if l.csv != nil {
		if err := l.csv.Write([]string{"# " + why}); err != nil {
			return err
		}
		return l.flush()
	}
	line, err := encode(map[string]string{"cut_off": why})
	if err == nil {
		_, err = l.w.Write(append(line, '\n'))
	}
	return err
}

func (l *exportLines) flush() error {
	if l.csv == nil {
		return nil
	}
	l.csv.Flush()
	return l.csv.Error()
}

// exported registers a handler that streams a file, and documents it.
func exported[I any](handle func(context.Context, *I) (*huma.StreamResponse, error)) func(*Server, huma.API, route) {
	return func(s *Server, api huma.API, rt route) {
		op := s.operation(rt)
		text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		op.Responses = map[string]*huma.Response{"200": {Description: "The list; the last line says so when it is cut off",
			Content: map[string]*huma.MediaType{"text/csv": text, "application/x-ndjson": text}}}
		huma.Register(api, *op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, s.problem(exchangeOf(ctx), err)
			}
			return out, nil
		})
	}
}
