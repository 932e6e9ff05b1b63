package mail

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-message/textproto"
)

// A part is a leaf with a body, or a multipart with parts.
type part struct {
	header   []string // fields, each with its CRLF
	body     []byte   // encoded
	boundary string   // of a multipart
	parts    []part
}

// content is the tree of the message's parts:
//
//	mixed
//	├── alternative
//	│   ├── text
//	│   └── related
//	│       ├── HTML
//	│       └── images …
//	└── attachments …
//
// where a multipart that would hold one part alone is left out.
func (m Message) content() part {
	body := textPart("plain", m.Text)
	var images, files []part
	for _, a := range m.Attachments {
		if a.ContentID != "" {
			images = append(images, a.part("inline"))
		} else {
			files = append(files, a.part("attachment"))
		}
	}
	if m.HTML != "" {
		html := textPart("html", m.HTML)
		if len(images) > 0 {
			html = m.multipart("related", append([]part{html}, images...))
		}
		// Readers show the last that they understand.
		body = m.multipart("alternative", []part{body, html})
	}
	if len(files) > 0 {
		body = m.multipart("mixed", append([]part{body}, files...))
	}
	return body
}

// multipart gives its boundary "=_" in it, which no encoded body has: in quoted-printable an equals sign stands before
// hexadecimal digits or the end of a line, in base64 before nothing or another one.
func (m Message) multipart(kind string, parts []part) part {
	sum := sha256.Sum256([]byte(kind + " " + m.ID))
	p := part{boundary: "=_" + hex.EncodeToString(sum[:15]), parts: parts}
	p.header = []string{"Content-Type: multipart/" + kind + ";" + rootType(kind) + "\r\n boundary=\"" + p.boundary + "\"\r\n"}
	return p
}

// rootType is what a multipart/related must name, the type of the part that shows the others (RFC 2387).
func rootType(kind string) string {
	if kind == "related" {
		return ` type="text/html";`
	}
	return ""
}

func textPart(kind, text string) part {
	encoding, body := encodeText(text)
	return part{body: body, header: []string{
		"Content-Type: text/" + kind + "; charset=utf-8\r\n",
		"Content-Transfer-Encoding: " + encoding + "\r\n",
	}}
}

// part names the file twice: as RFC 2231 has it, for those who know it, and as an encoded word in the parameter "name",
// from which older programs take it.
func (a Attachment) part(disposition string) part {
	kind, disposed := a.ContentType, disposition
	if a.Filename != "" {
		kind += ";\r\n name=" + legacyParameter(a.Filename)
		disposed += parameter("filename", a.Filename)
	}
	p := part{body: encodeBase64(a.Content), header: []string{
		"Content-Type: " + kind + "\r\n",
		"Content-Transfer-Encoding: base64\r\n",
		"Content-Disposition: " + disposed + "\r\n",
	}}
	if a.ContentID != "" {
		p.header = append(p.header, "Content-ID: <"+a.ContentID+">\r\n")
	}
	return p
}

// parameter gives `; name="value"`, or the value by RFC 2231 on as many lines as it takes. Quotes and backslashes are
// written that way too, as many programs don't understand them in quotes.
func parameter(name, value string) string {
	if isPlain(value) {
		return ";\r\n " + name + `="` + value + `"`
	}
	const attrChar = "!#$&+-.^_`{|}~"
	var lines []string
	line := "utf-8''"
	for _, r := range value {
		piece := string(r)
		if r > '~' || !isAlphanumeric(byte(r)) && !strings.ContainsRune(attrChar, r) {
			piece = percent(piece)
		}
		// Each line ends with a whole character, as some decode them one by one.
		if len(line)+len(piece) > maxWord {
			lines, line = append(lines, line), ""
		}
		line += piece
	}
	if len(lines) == 0 {
		return ";\r\n " + name + "*=" + line
	}
	var b strings.Builder
	for i, l := range append(lines, line) {
		b.WriteString(";\r\n " + name + "*" + strconv.Itoa(i) + "*=" + l)
	}
	return b.String()
}

// legacyParameter is the value as encoded words between quotes. No standard allows that, and most programs read it.
func legacyParameter(value string) string {
	if isPlain(value) {
		return `"` + value + `"`
	}
	return `"` + strings.Join(encodedWords(value), "\r\n ") + `"`
}

// isPlain says whether a parameter's value may stand between quotes as it is.
func isPlain(value string) bool {
	return len(value) <= maxWord && !strings.ContainsAny(value, `"\%`) && !needsWords(value)
}

func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// mediaType is what an attachment's content type becomes in its header, or why it can't.
func mediaType(s string) (kind, fault string) {
	if s == "" {
		return "application/octet-stream", ""
	}
	if len(s) > 200 || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return "", "is longer than 200 characters, or has others than printable ASCII"
	}
	name, params, err := mime.ParseMediaType(s)
	if err != nil || strings.Count(name, "/") != 1 {
		return "", `isn't a media type, such as "application/pdf"`
	}
	if strings.HasPrefix(name, "multipart/") || strings.HasPrefix(name, "message/") {
		return "", "is for mails within mails; give it as application/octet-stream"
	}
	if _, ok := params["name"]; ok {
		return "", `has the parameter "name"; the file's name is in filename`
	}
	if kind = mime.FormatMediaType(name, params); kind == "" {
		return "", "has a parameter that can't be written"
	}
	return kind, ""
}

func (p part) writeMessage(w io.Writer) error {
	if err := textproto.WriteHeader(w, header(p.header)); err != nil {
		return err
	}
	return p.writeBody(w)
}

func (p part) writeBody(w io.Writer) error {
	if p.parts == nil {
		_, err := w.Write(p.body)
		return err
	}
	mw := textproto.NewMultipartWriter(w)
	if err := mw.SetBoundary(p.boundary); err != nil {
		return err
	}
	for _, child := range p.parts {
		cw, err := mw.CreatePart(header(child.header))
		if err != nil {
			return err
		}
		if err := child.writeBody(cw); err != nil {
			return err
		}
	}
	return mw.Close()
}

// header holds the fields in their order; AddRaw puts each above those that it has.
func header(fields []string) textproto.Header {
	var h textproto.Header
	for _, f := range slices.Backward(fields) {
		h.AddRaw([]byte(f))
	}
	return h
}
