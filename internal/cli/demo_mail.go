package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demoMail shows mail on its way: one that a client writes, that of the invoice that was sent, and reminders once
// they are wanted.
type demoMail struct {
	api, admin client
	invoice    func() string // id of the one that was sent
	sink       bool          // mail is kept here, and can be looked at
	writes     bool          // a model, or the rules, can write reminders
	rows       []demoMailed
}

// demoMailed is a mail, as the table shows it.
type demoMailed struct {
	ID         string  `json:"id"`
	State      string  `json:"state"`
	Template   *string `json:"template"`
	Subject    *string `json:"subject"`
	Recipients []struct {
		Address string `json:"address"`
	} `json:"recipients"`
	pdf bool
}

func (d *demoMail) steps() []demoStep {
	return []demoStep{
		{"a mail", d.write},
		{"the invoice by mail", d.invoiced},
		{"reminders, switched on", d.remind},
	}
}

func (d *demoMail) write(ctx context.Context) (string, error) {
	began := time.Now()
	j, err := d.api.submit(ctx, "mail.send", map[string]any{
		"to": []string{"Asha Rao <asha@rao.example.com>"}, "subject": "Welcome, Asha जी",
		"html": "<p>Thank you for your order. The first metres of cotton leave on Monday.</p>"}, nil)
	if err != nil {
		return "", err
	}
	m, err := d.accepted(ctx, j.ID)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s in %s, at %s", m.State, ms(time.Since(began)), m.Recipients[0].Address), nil
}

// invoiced looks for the mail that the sending of the invoice has brought about.
func (d *demoMail) invoiced(ctx context.Context) (string, error) {
	if d.invoice() == "" {
		return "", errors.New("no invoice was sent")
	}
	m, err := d.newest(ctx, "invoice_id="+d.invoice())
	if err == nil {
		m, err = d.accepted(ctx, m.ID)
	}
	if err == nil && d.sink && !m.pdf {
		err = errors.New("it came without the invoice as PDF")
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", m.State, *m.Subject), nil
}

// remind switches reminders on, and waits for the first. There is one for every invoice that is overdue in the sample
// data: made-up people, to whom a real server is not made to write.
func (d *demoMail) remind(ctx context.Context) (string, error) {
	if !d.sink {
		return "left off, as your mail server would send them", nil
	}
	err := d.api.do(ctx, http.MethodPatch, "/api/organization", map[string]any{"settings": map[string]any{"reminders": map[string]any{"enabled": true}}}, nil)
	if err != nil {
		return "", err
	}
	if !d.writes {
		return "their texts wait for a model, and after 12 hours for none", nil
	}
	m, err := d.newest(ctx, "stream=reminders")
	if err == nil {
		m, err = d.accepted(ctx, m.ID)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", m.State, *m.Subject), nil
}

// newest waits for a mail that a filter finds.
func (d *demoMail) newest(ctx context.Context, filter string) (demoMailed, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var list struct {
			Data []demoMailed `json:"data"`
		}
		if err := d.api.do(ctx, http.MethodGet, "/api/mail?limit=1&"+filter, nil, &list); err != nil {
			return demoMailed{}, err
		}
		if len(list.Data) > 0 {
			return list.Data[0], nil
		}
		select {
		case <-ctx.Done():
			return demoMailed{}, errors.New("no mail was made of it")
		case <-tick.C:
		}
	}
}

// accepted waits until the mail server has a mail, and looks at it there where it can be looked at.
func (d *demoMail) accepted(ctx context.Context, id string) (m demoMailed, err error) {
	j, err := d.api.await(ctx, id, demoPatience)
	switch {
	case err != nil:
		return m, err
	case j.Waiting != nil:
		return m, errors.New("it waits: " + j.Waiting.Reason)
	case j.Error != nil:
		return m, j.Error
	}
	if err := d.api.do(ctx, http.MethodGet, "/api/mail/"+id, nil, &m); err != nil {
		return m, err
	}
	if m.State != "accepted" || m.Subject == nil || len(m.Recipients) == 0 {
		return m, fmt.Errorf("it is %s", m.State)
	}
	if d.sink {
		if m.pdf, err = d.caught(ctx, j); err != nil {
			return m, err
		}
	}
	d.rows = append(d.rows, m)
	return m, nil
}

// caught finds a mail in the sink by the name that the sink gave it, and tells whether a PDF is with it.
func (d *demoMail) caught(ctx context.Context, j jobView) (pdf bool, err error) {
	var sent struct {
		QueueID string `json:"queue_id"`
	}
	if err := json.Unmarshal(j.Output, &sent); err != nil {
		return false, fmt.Errorf("read the result: %w", err)
	}
	path := "/api/system/mail-sink/" + sent.QueueID
	response, err := d.admin.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, refusal(http.MethodGet, path, response)
	}
	raw, err := io.ReadAll(response.Body)
	return bytes.Contains(raw, []byte("application/pdf")), err
}

// printTable shows the mails, a line for each.
func (d *demoMail) printTable(w io.Writer) {
	if len(d.rows) == 0 {
		return
	}
	const line = "  %-10s %-9s %-34s %-4s %s\n"
	fmt.Fprintf(w, line, "mail", "state", "to", "pdf", "subject")
	for _, r := range d.rows {
		template, pdf := "own words", ""
		if r.Template != nil {
			template = *r.Template
		}
		if r.pdf {
			pdf = "yes"
		}
		var to []string
		for _, a := range r.Recipients {
			to = append(to, a.Address)
		}
		slices.Sort(to)
		fmt.Fprintf(w, line, template, r.State, strings.Join(to, ", "), pdf, *r.Subject)
	}
	fmt.Fprintln(w)
}
