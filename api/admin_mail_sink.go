package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/operator"
)

type adminSinkOutput struct{ Body operator.SinkList }

// adminSink lists the mail of all organizations that was caught, newest first, without what it says.
func (s *Server) adminSink(ctx context.Context, in *sinkInput) (*adminSinkOutput, error) {
	list, err := s.listSink(ctx, in)
	if err != nil {
		return nil, err
	}
	v := operator.SinkList{Data: make([]operator.SinkMail, len(list.Body.Data)), NextCursor: list.Body.NextCursor, HasMore: list.Body.HasMore}
	for i, m := range list.Body.Data {
		v.Data[i] = operator.SinkMail{ID: m.ID, ReceivedAt: m.ReceivedAt.UTC(), From: m.From, To: m.To, Size: m.Size}
	}
	return &adminSinkOutput{v}, nil
}

// revealSink shows what a mail says that was caught. That it was asked for is noted.
func (s *Server) revealSink(ctx context.Context, in *adminMailInput) (*revealMailOutput, error) {
	if s.Sink == nil {
		return nil, errNoSink
	}
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var v operator.MailContent
	err = s.act(ctx, act{Action: "sink.reveal", Target: "sink_mail", ID: id}, func(_ pgx.Tx, note *act) error {
		raw, err := s.Sink.Content(id)
		if errors.Is(err, fs.ErrNotExist) {
			return notFound()
		}
		if err != nil {
			return err
		}
		note.After = map[string]any{"bytes": len(raw)}
		v = contentOf(raw)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &revealMailOutput{v}, nil
}

// contentOf reads a mail as it came. What can't be read is shown as text.
func contentOf(raw []byte) operator.MailContent {
	v := operator.MailContent{Headers: []operator.MailHeader{}, Attachments: []operator.MailAttachment{}, Replies: []operator.MailReply{}, Events: []operator.MailEvent{}}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		v.Text = readable(raw)
		why := "It is not a mail that can be read; this is how it came."
		v.Note = &why
		return v
	}
	var words mime.WordDecoder
	for name, values := range m.Header {
		for _, value := range values {
			if plain, err := words.DecodeHeader(value); err == nil {
				value = plain
			}
			v.Headers = append(v.Headers, operator.MailHeader{Name: name, Value: strings.ToValidUTF8(value, "�")})
		}
	}
	slices.SortFunc(v.Headers, func(a, b operator.MailHeader) int { return strings.Compare(a.Name, b.Name) })
	if subject, err := words.DecodeHeader(m.Header.Get("Subject")); err == nil {
		v.Subject = unlessBlank(subject)
	}
	readPart(&v, m.Header.Get, m.Body, 0)
	return v
}

// mostNested is how deep parts of a mail may lie in each other: whoever goes deeper means no reader well.
const mostNested = 8

// readPart takes the first text and HTML of a part, and lists the rest as attachments.
func readPart(v *operator.MailContent, header func(string) string, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth < mostNested {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			readPart(v, part.Header.Get, part, depth+1)
		}
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, _ := io.ReadAll(body) // what came before a fault is shown
	disposition, names, _ := mime.ParseMediaType(header("Content-Disposition"))
	switch {
	case disposition != "attachment" && kind == "text/plain" && v.Text == nil:
		v.Text = readable(content)
	case disposition != "attachment" && kind == "text/html" && v.HTML == nil:
		v.HTML = readable(content)
	default:
		v.Attachments = append(v.Attachments, operator.MailAttachment{Filename: names["filename"], ContentType: kind, Bytes: int64(len(content))})
	}
}

func readable(content []byte) *string {
	text := strings.ToValidUTF8(string(content), "�")
	return &text
}
