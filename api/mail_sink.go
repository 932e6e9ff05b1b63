package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// A MailSink is a mail server that keeps what it gets and sends nothing on, where people try the product out.
type MailSink interface {
	// Messages lists what is kept, the newest first, with ids that are UUIDs in the order of time.
	Messages() []SinkMessage
	// Content gives a message as it came, or fs.ErrNotExist.
	Content(id string) ([]byte, error)
}

// A SinkMessage is a message in a sink.
type SinkMessage struct {
	ID         string    `json:"id" format:"uuid" doc:"The queue id that the sender was told"`
	ReceivedAt time.Time `json:"received_at"`
	From       string    `json:"from" doc:"Return path"`
	To         []string  `json:"to" doc:"Of the envelope, so those of bcc too"`
	Size       int       `json:"size" doc:"In bytes"`
	Subject    string    `json:"subject"`
}

// errNoSink is for an installation whose mail leaves the house.
var errNoSink = refuse("not_found", "there is no sink here: mail goes to the server that SMTP_HOST names")

type sinkInput struct{ PageQuery }

type sinkOutput struct{ Body page[SinkMessage] }

// listSink lists the mail of all organizations that was caught, newest first.
func (s *Server) listSink(_ context.Context, in *sinkInput) (*sinkOutput, error) {
	if s.Sink == nil {
		return nil, errNoSink
	}
	before, err := parseCursor(in.Cursor, "mail-sink")
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(s.Sink.Messages(), func(m SinkMessage) bool { return before != "" && m.ID >= before })
	rows = rows[:min(len(rows), in.Limit+1)]
	return &sinkOutput{pageOf(rows, in.Limit, func(m SinkMessage) string { return m.ID }, "mail-sink")}, nil
}

// sinkPolicy keeps a browser from doing anything with a message but to save it.
const sinkPolicy = apiPolicy + "; sandbox"

// getSink gives one message as it came, to be saved: what is in it was written by anybody.
func (s *Server) getSink(w http.ResponseWriter, r *http.Request) error {
	if s.Sink == nil {
		return errNoSink
	}
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	content, err := s.Sink.Content(id)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound()
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "message/rfc822")
	h.Set("Content-Disposition", `attachment; filename="`+id+`.eml"`)
	h.Set("Content-Security-Policy", sinkPolicy)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	// A client that has gone away needs no mail.
	_, _ = w.Write(content)
	return nil
}

func documentSink(_ *Server, _ huma.API, op *huma.Operation) {
	op.Parameters = append(op.Parameters, &huma.Param{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	op.Responses["200"] = &huma.Response{Description: "The message as it came",
		Content: map[string]*huma.MediaType{"message/rfc822": {Schema: &huma.Schema{Type: huma.TypeString}}}}
}
