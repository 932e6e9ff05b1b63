package api

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// What a contact is where nobody has said.
const (
	standardType   = "lead"
	standardStage  = "prospect"
	standardStatus = "active"
)

const (
	maxTags = 50
	maxTag  = 50 // characters
)

// ContactFields is what a client may say about a contact beside its name. null takes away, or gives the
// standard back where there is one.
type ContactFields struct {
	Email           optional[string]    `json:"email,omitzero" nullable:"true" minLength:"3" maxLength:"254" doc:"One bare address"`
	Phone           optional[string]    `json:"phone,omitzero" nullable:"true" minLength:"3" maxLength:"32" doc:"7 to 15 digits; spaces, hyphens and parentheses may stand between them, a plus before them"`
	Company         optional[string]    `json:"company,omitzero" nullable:"true" minLength:"1" maxLength:"200"`
	Type            optional[string]    `json:"type,omitzero" nullable:"true" enum:"lead,customer,vendor,employee" doc:"lead by default"`
	Stage           optional[string]    `json:"stage,omitzero" nullable:"true" enum:"prospect,contact,customer" doc:"prospect by default"`
	Status          optional[string]    `json:"status,omitzero" nullable:"true" enum:"active,inactive,lost" doc:"active by default"`
	Source          optional[string]    `json:"source,omitzero" nullable:"true" minLength:"1" maxLength:"100" doc:"Where the contact came from"`
	GSTIN           optional[string]    `json:"gstin,omitzero" nullable:"true"`
	Address         optional[string]    `json:"address,omitzero" nullable:"true" minLength:"1" maxLength:"500" doc:"At most 8 lines as on an envelope"`
	City            optional[string]    `json:"city,omitzero" nullable:"true" minLength:"1" maxLength:"100"`
	State           optional[string]    `json:"state,omitzero" nullable:"true" minLength:"1" maxLength:"64"`
	Tags            optional[[]string]  `json:"tags,omitzero" nullable:"true" doc:"At most 50 of 1 to 50 characters, all different"`
	Notes           optional[string]    `json:"notes,omitzero" nullable:"true" maxLength:"10000"`
	LastContactedAt optional[time.Time] `json:"last_contacted_at,omitzero" nullable:"true"`
	NextFollowUp    optional[time.Time] `json:"next_follow_up,omitzero" nullable:"true"`
}

// apply changes c and names the fields that are different now.
func (f ContactFields) apply(c *store.Contact, name optional[string]) (changed []string, err error) {
	var m merge
	if m.text("name", &c.Name, name, line); name.null {
		m.fault("/name", "can't be taken away")
	}
	m.optionalText("email", &c.Email, f.Email, bareAddress)
	m.optionalText("phone", &c.Phone, f.Phone, phoneNumber)
	m.optionalText("company", &c.Company, f.Company, line)
	m.choice("type", &c.Type, f.Type, standardType)
	m.choice("stage", &c.Stage, f.Stage, standardStage)
	m.choice("status", &c.Status, f.Status, standardStatus)
	m.optionalText("source", &c.Source, f.Source, line)
	m.optionalText("gstin", &c.GSTIN, f.GSTIN, gstin)
	m.optionalText("address", &c.Address, f.Address, envelope)
	m.optionalText("city", &c.City, f.City, line)
	m.optionalText("state", &c.State, f.State, line)
	m.tags(&c.Tags, f.Tags)
	m.optionalText("notes", &c.Notes, f.Notes, anyText)
	m.moment("last_contacted_at", &c.LastContactedAt, f.LastContactedAt)
	m.moment("next_follow_up", &c.NextFollowUp, f.NextFollowUp)
	if len(m.faults) > 0 {
		return nil, invalid(m.faults...)
	}
	return m.changed, nil
}

// merge carries the fields of a merge patch over, and keeps which became different and which can't be.
type merge struct {
	changed []string
	faults  []Fault
}

func (m *merge) fault(pointer, detail string) { m.faults = append(m.faults, Fault{pointer, detail}) }

// text stores a text as tidy leaves it, unless tidy finds fault with it.
func (m *merge) text(name string, field *string, given optional[string], tidy func(string) (string, error)) {
	if !given.set || given.null {
		return
	}
	value, err := tidy(given.value)
	if err != nil {
		m.fault("/"+name, err.Error())
	} else if value != *field {
		*field = value
		m.changed = append(m.changed, name)
	}
}

func (m *merge) optionalText(name string, field **string, given optional[string], tidy func(string) (string, error)) {
	if !given.set {
		return
	}
	var value *string
	if !given.null {
		tidied, err := tidy(given.value)
		if err != nil {
			m.fault("/"+name, err.Error())
			return
		}
		value = &tidied
	}
	if !equal(value, *field) {
		*field = value
		m.changed = append(m.changed, name)
	}
}

// choice stores one of the values that the schema lists.
func (m *merge) choice(name string, field *string, given optional[string], standard string) {
	before := *field
	if given.into(field, standard); *field != before {
		m.changed = append(m.changed, name)
	}
}

func (m *merge) tags(field *[]string, given optional[[]string]) {
	if !given.set {
		return
	}
	tags := make([]string, 0, len(given.value))
	if len(given.value) > maxTags {
		m.fault("/tags", fmt.Sprintf("has more than %d tags", maxTags))
		return
	}
	for i, text := range given.value {
		tag, err := line(text)
		switch {
		case err != nil:
		case utf8.RuneCountInString(tag) > maxTag:
			err = fmt.Errorf("has more than %d characters", maxTag)
		case slices.Contains(tags, tag):
			err = errors.New("is there twice")
		}
		if err != nil {
			m.fault("/tags/"+strconv.Itoa(i), err.Error())
		}
		tags = append(tags, tag)
	}
	if !slices.Equal(tags, *field) {
		*field = tags
		m.changed = append(m.changed, "tags")
	}
}

// moment stores a time as precisely as Postgres does.
func (m *merge) moment(name string, field **time.Time, given optional[time.Time]) {
	if !given.set {
		return
	}
	var value *time.Time
	if !given.null {
		t := given.value.UTC().Truncate(time.Microsecond)
		// Beyond, a time has no RFC 3339 form in UTC.
		if t.Year() < 1 || t.Year() > 9999 {
			m.fault("/"+name, "is not between the years 1 and 9999")
			return
		}
		value = &t
	}
	if before := *field; (before == nil) != (value == nil) || before != nil && !before.Equal(*value) {
		*field = value
		m.changed = append(m.changed, name)
	}
}

// line takes text of one line, trimmed.
func line(text string) (string, error) {
	text = strings.TrimSpace(text)
	if blank(text) {
		return "", errors.New("must not be blank")
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", errors.New("has line breaks or other control characters")
	}
	return text, nil
}

// An address has no more lines than an envelope has room for.
const maxAddressLines = 8

// envelope takes the lines of an address, each trimmed, and those without any text left out.
func envelope(text string) (string, error) {
	var lines []string
	for given := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if strings.TrimSpace(given) == "" {
			continue
		}
		tidied, err := line(given)
		if err != nil {
			return "", err
		}
		lines = append(lines, tidied)
	}
	switch {
	case len(lines) == 0:
		return "", errors.New("must not be blank")
	case len(lines) > maxAddressLines:
		return "", fmt.Errorf("has more than %d lines", maxAddressLines)
	}
	return strings.Join(lines, "\n"), nil
}

func anyText(text string) (string, error) { return text, nil }

// bareAddress takes one mail address without a name around it (RFC 5322 addr-spec), at a domain by name.
func bareAddress(text string) (string, error) {
	malformed := errors.New("must be one mail address such as name@example.com")
	text = strings.TrimSpace(text)
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return "", malformed
	}
	_, domain, _ := strings.Cut(text, "@")
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && !unicode.In(r, unicode.L, unicode.M, unicode.N) }) {
			return "", malformed
		}
	}
	return text, nil
}

// phoneNumber takes a number as people write it: E.164 has at most 15 digits, and 7 is the least of any use.
func phoneNumber(text string) (string, error) {
	text = strings.TrimSpace(text)
	digits := 0
	for i, r := range text {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '+' && i == 0, r == ' ', r == '-', r == '(', r == ')':
		default:
			return "", fmt.Errorf("has %q; a phone number has digits, spaces, hyphens, parentheses and a plus before them", r)
		}
	}
	if digits < 7 || digits > 15 {
		return "", fmt.Errorf("has %d digits; a phone number has 7 to 15", digits)
	}
	return text, nil
}

// gstin takes a GST number in small letters too.
func gstin(text string) (string, error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	_, err := gst.CheckGSTIN(text)
	return text, err
}
