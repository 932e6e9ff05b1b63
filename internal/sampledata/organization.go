package sampledata

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/gst"
)

// An Organization is one that was filled.
type Organization struct {
	ID    string
	Name  string
	State string
	GSTIN string // "": it has none
}

// A business makes the rows of one organization, any of them at any time.
type business struct {
	id       uuid.UUID
	name     string
	gstin    *string
	plan     string
	made     time.Time
	rows     Options // how many
	calendar calendar
	chance   *chance

	stateText string // as the organization has it
	state     gst.State
	near      []city // in that state
	states    map[string]gst.State
}

func newBusiness(o Options, n int) *business {
	c := newChance(mix(o.Seed ^ mix(uint64(n))))
	d := c.of(organizationKind, n)
	b := &business{rows: o, calendar: newCalendar(o.Today), chance: c, states: statesByCode(),
		plan: pick(d, []string{"basic", "pro", "pro", "enterprise"})}
	b.made = b.calendar.days[0].Add(opens)
	b.id = c.id(organizationKind, n, b.made)
	owner := pick(d, surnames)
	b.name = companyName(d, owner)
	if o.Name != "" {
		b.name = o.Name
		if o.Organizations > 1 {
			b.name = fmt.Sprintf("%s %d", o.Name, n+1)
		}
	}
	b.settle(b.states[pick(d, busyCities).state])
	b.stateText = b.state.Name
	gstin := b.taxpayer(d, b.state, 'C', b.name)
	b.gstin = &gstin
	return b
}

func statesByCode() map[string]gst.State {
	states := make(map[string]gst.State)
	for _, s := range gst.States() {
		states[s.Code] = s
	}
	return states
}

func (b *business) settle(in gst.State) {
	if b.state, b.near = in, citiesOf(in.Code); len(b.near) == 0 {
		b.near = busyCities
	}
}

// taxpayer makes up a GSTIN: the PAN's fourth letter says what the holder is (P a person, F a firm, C a company),
// its fifth begins the holder's name.
func (b *business) taxpayer(d dice, s gst.State, holder byte, name string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	text := make([]byte, 0, 15)
	text = append(text, s.Code...)
	for range 3 {
		text = append(text, letters[d.IntN(26)])
	}
	text = append(text, holder, initial(name))
	for range 4 {
		text = append(text, byte('0'+d.IntN(10)))
	}
	text = append(text, letters[d.IntN(26)], byte('1'+d.weighted(90, 8, 2)), 'Z')
	gstin, err := gst.CompleteGSTIN(string(text))
	if err != nil {
		panic(fmt.Sprintf("sampledata: a GSTIN of our own making: %v", err))
	}
	return gstin
}

func initial(name string) byte {
	if c := strings.ToUpper(name)[0]; c >= 'A' && c <= 'Z' {
		return c
	}
	return 'A'
}

func companyName(d dice, owner string) string {
	if d.percent(45) {
		return owner + " " + pick(d, trades) + pick(d, legalForms)
	}
	return pick(d, companyNames) + " " + pick(d, trades) + pick(d, legalForms)
}
