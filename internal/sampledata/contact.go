package sampledata

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/gst"
)

type contact struct {
	id                  uuid.UUID
	name, email, phone  string
	company             *string
	typ, stage, status  string
	source              string
	gstin               *string
	city                city
	state               gst.State
	score               *int16
	tags                []string
	notes               *string
	contacted, followUp *time.Time
	version             int64
	created, updated    time.Time
}

var contactColumns = []string{"organization_id", "id", "name", "email", "phone", "company", "type", "stage", "status", "source",
	"gstin", "city", "state", "lead_score", "tags", "notes", "last_contacted_at", "next_follow_up", "version", "created_at", "updated_at"}

func (b *business) contactRow(i int, row []any) []any {
	c := b.contact(i)
	return append(row, b.id, c.id, c.name, c.email, c.phone, c.company, c.typ, c.stage, c.status, c.source, c.gstin, c.city.name,
		c.state.Name, c.score, c.tags, c.notes, c.contacted, c.followUp, c.version, c.created, c.updated)
}

// contact makes up the i-th contact.
func (b *business) contact(i int) contact {
	d := b.chance.of(contactKind, i)
	c := contact{typ: typeOf(d), version: 1}
	c.created = b.calendar.at(i, b.rows.Contacts, d)
	c.id = b.chance.id(contactKind, i, c.created)
	b.nameContact(d, i, &c)
	b.placeContact(d, &c)
	b.judgeContact(d, &c)
	b.followContact(d, &c)
	return c
}

// typeOf is the first that a contact's dice say, so that it can be asked for alone.
func typeOf(d dice) string {
	return []string{"lead", "customer", "vendor", "employee"}[d.weighted(42, 44, 10, 4)]
}

func (b *business) nameContact(d dice, i int, c *contact) {
	first, last := pick(d, firstNames), pick(d, surnames)
	c.name = first + " " + last
	domain := "example.com"
	if c.typ == "employee" {
		domain = firstWord(b.name) + ".example.com"
	} else if d.percent(80) {
		company := companyName(d, last)
		c.company, domain = &company, firstWord(company)+".example.com"
	}
	c.email = slug(first) + "." + slug(last)
	if i >= 1000 {
		c.email += strconv.Itoa(i)
	}
	c.email += "@" + domain
	c.phone = "+91 " + strconv.Itoa(d.between(60000, 99999)) + " " + strconv.Itoa(d.between(10000, 99999))
}

func firstWord(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return slug(first)
}

// slug keeps the letters and digits of a name, in lower case.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// placeContact: most business is in the state, the rest all over India.
func (b *business) placeContact(d dice, c *contact) {
	c.city = pick(d, cities)
	if d.percent(62) || c.typ == "employee" {
		c.city = pick(d, b.near)
	}
	c.state = b.states[c.city.state]
	if c.company != nil && c.typ != "lead" && d.percent(70) {
		gstin := b.taxpayer(d, c.state, "CFP"[d.weighted(25, 35, 40)], *c.company)
		c.gstin = &gstin
	}
}

func (b *business) judgeContact(d dice, c *contact) {
	c.source = pick(d, sources)
	c.status = []string{"active", "inactive"}[d.weighted(86, 14)]
	c.stage = "contact"
	switch c.typ {
	case "lead":
		c.stage = []string{"prospect", "contact"}[d.weighted(60, 40)]
		if d.percent(12) {
			c.status = "lost"
		}
	case "customer":
		c.stage = "customer"
	}
	if c.typ == "lead" || c.typ == "customer" {
		score := int16(d.between(5, 70))
		if c.typ == "customer" {
			score += 30
		}
		c.score = &score
	}
	c.tags = []string{}
	for range d.weighted(45, 35, 20) {
		if tag := pick(d, tags); len(c.tags) == 0 || c.tags[0] != tag {
			c.tags = append(c.tags, tag)
		}
	}
	if d.percent(15) {
		note := pick(d, contactNotes)
		c.notes = &note
	}
}

func (b *business) followContact(d dice, c *contact) {
	c.updated = c.created
	if d.percent(70) {
		if at := b.calendar.later(d, c.created, 120); at.After(c.created) {
			c.contacted, c.updated, c.version = &at, at, 2
		}
	}
	if c.status == "active" && d.percent(25) {
		at := b.calendar.today.AddDate(0, 0, d.between(0, 30)).Add(opens + time.Duration(d.between(0, 19))*30*time.Minute)
		c.followUp = &at
	}
}
