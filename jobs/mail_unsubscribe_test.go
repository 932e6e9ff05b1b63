package jobs_test

import (
	"fmt"
	"html"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strings"
	"testing"

	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

var linkInMail = regexp.MustCompile(`https://crm\.example\.com/unsubscribe/[\w-]+`)

// received is what the sink has for an address, newest first.
func (p *post) received(address string) (list []parsedMail) {
	p.site.t.Helper()
	for _, m := range p.sink.Messages() {
		if m.To[0] != address {
			continue
		}
		read, err := netmail.ReadMessage(strings.NewReader(p.content(m)))
		p.must(err)
		parsed := parsedMail{Header: read.Header, files: make(map[string][]byte)}
		p.must(parsed.read(read.Header.Get, read.Body))
		list = append(list, parsed)
	}
	return list
}

// links are all that the mail has to unsubscribe by, each once.
func (m parsedMail) links() (header, text, inHTML []string) {
	return linkInMail.FindAllString(m.Get("List-Unsubscribe"), -1), linkInMail.FindAllString(m.text, -1),
		linkInMail.FindAllString(html.UnescapeString(m.html), -1)
}

// Each reader of a letter has a link of their own, the same in header, text and HTML, and it unsubscribes them alone.
func TestLettersHaveALinkToUnsubscribe(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.exec(`INSERT INTO mail_templates (organization_id, id, name, subject, text, html) VALUES ($1, gen_random_uuid(), 'news', 'News',
		'Hello{{with .unsubscribe_url}}, leave: {{.}}{{end}}', '<p>Hello{{with .unsubscribe_url}} <a href="{{.}}">{{.}}</a>{{end}}</p>')`, p.organization)
	invoice := p.invoice(p.contact("Asha Rao", nil), 3, nil)
	for n, letter := range []string{
		`"template":"reminder","data":` + strings.Replace(string(letters.Sample("reminder")), `"https://payaid.example/u/0k3x9q"`, "null", 1),
		`"template":"invoice","invoice_id":"` + invoice + `"`, `"template":"news"`, `"template":"news","data":{"unsubscribe_url":null}`,
	} {
		stream := fmt.Sprintf("stream%d", n)
		if j := p.send(`{"to":["a@example.org"],"bcc":["b@example.org"],"stream":"` + stream + `",` + letter + `}`); j.Status != store.Succeeded {
			t.Fatalf("%s: %+v\n%s", letter, j, p.logged)
		}
		seen := make(map[string]bool)
		var inText string
		for _, address := range []string{"a@example.org", "b@example.org"} {
			header, text, inHTML := p.received(address)[0].links()
			if len(header) != 1 || len(text) != 1 || len(inHTML) == 0 || text[0] != header[0] || seen[header[0]] {
				t.Fatalf("%s to %s: header %v, text %v, HTML %v, others' %v", letter, address, header, text, inHTML, seen)
			}
			for _, link := range inHTML {
				if link != header[0] {
					t.Errorf("%s to %s: %s in HTML, %s in the header", letter, address, link, header[0])
				}
			}
			seen[header[0]], inText = true, text[0]
		}
		u, err := url.Parse(inText)
		p.must(err)
		p.ask("POST", u.Path, "", nil)
		var out string
		p.scan(&out, `SELECT string_agg(address || ' ' || reason, ',') FROM mail_suppressions WHERE organization_id = $1 AND stream = $2`, p.organization, stream)
		if out != "b@example.org unsubscribe" {
			t.Errorf("%s: on the list is %q, want the one whose link it was", letter, out)
		}
	}
}

// Where nobody can unsubscribe a template that asks for the link gets null; a sender's own link is left as it is.
func TestLettersWithoutALinkToUnsubscribe(t *testing.T) {
	t.Parallel()
	const template = `INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES ($1, gen_random_uuid(), 'news', 'News',
		'Hello{{with .unsubscribe_url}}, leave: {{.}}{{end}}.')`
	p := newPost(t)
	p.exec(template, p.organization)
	private := newPost(t, func(d *jobs.Deps) { d.Mailing.PublicURL = "" })
	private.exec(template, private.organization)
	for _, c := range []struct {
		post       *post
		more, want string
	}{
		{p, ``, "Hello."},
		{private, `,"stream":"news"`, "Hello."},
		{p, `,"stream":"news","data":{"unsubscribe_url":"https://a.example/x"}`, "Hello, leave: https://a.example/x."},
	} {
		if j := c.post.send(`{"to":["a@example.org"],"template":"news"` + c.more + `}`); j.Status != store.Succeeded {
			t.Fatalf("%s: %+v", c.more, j)
		}
		if got := strings.TrimSpace(c.post.received("a@example.org")[0].text); got != c.want {
			t.Errorf("%s: it says %q, want %q", c.more, got, c.want)
		}
	}
}
