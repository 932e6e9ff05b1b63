package taxinvoice

import (
	"fmt"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/rupees"
)

var (
	text    = style{size: 9}
	smaller = style{size: 8}
)

// A layout arranges one invoice.
type layout struct {
	Invoice
	set  *typesetter
	page composer
}

func newLayout(v Invoice) *layout { return &layout{Invoice: v, set: newTypesetter()} }

func (l *layout) pages() []page {
	l.page.stamp = l.set.line(l.stamp(), style{size: 110, weight: bold, gray: 232})
	l.page.running = []row{l.running()}
	l.page.turn()
	l.page.flow(l.heading()...)
	l.page.flow(l.meeting()...)
	t := l.table()
	l.page.together(t.head...) // with the first item, if there is room
	l.page.heading = t.head
	l.page.flow(t.items...)
	l.page.heading = nil
	l.page.together(append(l.totals(t), l.byRate()...)...)
	if l.Notes != "" {
		l.page.flow(l.notes()...)
	}
	l.page.together(l.signed()...)
	for i := range l.page.pages {
		l.foot(i)
	}
	return l.page.pages
}

// stamp is what every page says of an invoice that nobody has to pay.
func (l *layout) stamp() string {
	switch l.Stage {
	case Draft:
		return "DRAFT"
	case Cancelled:
		return "CANCELLED"
	}
	return ""
}

// running heads every page but the first.
func (l *layout) running() row {
	const half = width / 2
	name, title := l.clipped(l.Supplier.Name, smaller.pale(), half-10), l.set.line(l.named(), smaller.pale())
	return row{below: 8, cells: []cell{
		{x: left, width: half, lines: []line{name}},
		{x: left + half, width: half, align: end, lines: []line{title}},
	}}
}

// clipped is the first line of a text, and says so if there are more.
func (l *layout) clipped(says string, s style, width float64) line {
	lines := l.set.lines(says, s, width)
	if len(lines) == 1 {
		return lines[0]
	}
	shown := []rune(says)
	for {
		shown = shown[:len(shown)*9/10]
		if lines = l.set.lines(string(shown)+"…", s, width); len(lines) == 1 || len(shown) == 0 {
			return lines[0]
		}
	}
}

// heading is what the document is, and who issues it.
func (l *layout) heading() []row {
	const first = width * 0.58
	title := l.set.lines(strings.ToUpper(l.title()), style{size: 15, weight: bold}, width-first)
	if l.stamp() != "" {
		title = append(title, l.set.lines(l.stamp(), text.bold(), width-first)...)
	}
	if mark := l.copyOf(); mark != "" {
		title = append(title, l.set.lines(strings.ToUpper(mark), smaller.pale().of(7), width-first)...)
	}
	supplier := l.set.lines(l.Supplier.Name, text.bold().of(13), first-16)
	if len(supplier) > 2 {
		supplier = l.set.lines(l.Supplier.Name, text.bold().of(10.5), first-16)
	}
	supplier = append(supplier, l.party(l.Supplier, first-16)...)
	return []row{{below: 10, rule: 0.7, cells: []cell{
		{x: left, width: first, lines: supplier},
		{x: left + first, width: width - first, align: end, lines: title},
	}}}
}

// meeting is who buys, and when and where.
func (l *layout) meeting() []row {
	const first = width * 0.55
	buyer := l.set.lines("Billed to", smaller.pale(), first-16)
	buyer = append(buyer, l.set.lines(l.Customer.Name, text.bold().of(10.5), first-16)...)
	if l.Customer.Contact != "" {
		buyer = append(buyer, l.set.lines("Attention: "+l.Customer.Contact, text, first-16)...)
	}
	buyer = append(buyer, l.party(l.Customer, first-16)...)
	const keyWidth = 92.0
	keys, values := l.pairs(keyWidth, width-first-keyWidth, l.particulars())
	rows := []row{{above: 8, below: 10, cells: []cell{
		{x: left, width: first, lines: buyer},
		{x: left + first, width: keyWidth, lines: keys},
		{x: left + first + keyWidth, width: width - first - keyWidth, lines: values},
	}}}
	if says := l.endorsement(); says != "" {
		lines := l.set.lines(strings.ToUpper(says), smaller.bold(), width)
		rows = append(rows, row{below: 8, cells: []cell{{x: left, width: width, lines: lines}}})
	}
	return rows
}

// party is what the law wants to know of a party, but its name.
func (l *layout) party(p Party, width float64) []line {
	var lines []line
	add := func(says string) { lines = append(lines, l.set.lines(says, text, width)...) }
	if p.Address != "" {
		add(p.Address)
	}
	if p.City != "" && !strings.Contains(p.Address, p.City) {
		add(p.City)
	}
	if p.State != "" {
		add("State: " + withCode(p.State, p.Code))
	}
	add("GSTIN: " + p.gstin())
	if p.Email != "" {
		add(p.Email)
	}
	return lines
}

func (l *layout) particulars() [][2]string {
	number := l.Number
	if number == "" {
		number = "none yet (draft)"
		if l.Stage == Cancelled {
			number = "none (cancelled draft)"
		}
	}
	return [][2]string{
		{"Invoice number", number}, {"Date", dateText(l.IssueDate)}, {"Due date", dateText(l.DueDate)},
		{"Place of supply", placeName(l.Place)}, {"Reverse charge", "No"},
	}
}

// pairs sets keys and their values beside each other: each begins where the other does.
func (l *layout) pairs(keyWidth, valueWidth float64, pairs [][2]string) (keys, values []line) {
	for _, p := range pairs {
		k, v := l.set.lines(p[0], smaller.pale(), keyWidth-6), l.set.lines(p[1], text, valueWidth)
		keys, values = level(keys, values, k, v)
	}
	return keys, values
}

// level appends lines to two columns so that the next ones begin at one height.
func level(a, b, k, v []line) (keys, values []line) {
	for i := range max(len(k), len(v)) {
		var first, second line
		if i < len(k) {
			first = k[i]
		}
		if i < len(v) {
			second = v[i]
		}
		ascent := max(first.ascent, second.ascent)
		height := ascent + max(first.height-first.ascent, second.height-second.ascent) + 1
		first.ascent, first.height, second.ascent, second.height = ascent, height, ascent, height
		a, b = append(a, first), append(b, second)
	}
	return a, b
}

func (l *layout) notes() []row {
	rows := []row{{above: 10, cells: []cell{{x: left, width: width, lines: l.set.lines("Notes", smaller.pale(), width)}}}}
	for _, n := range l.set.lines(l.Notes, text, width) {
		rows = append(rows, row{cells: []cell{{x: left, width: width, align: natural, lines: []line{n}}}})
	}
	return rows
}

func (l *layout) signed() []row {
	const half = width / 2
	name := l.set.lines("For "+l.Supplier.Name, text.bold(), half)
	if len(name) > 3 {
		name = []line{l.clipped("For "+l.Supplier.Name, text.bold(), half)}
	}
	return []row{
		{above: 22, cells: []cell{{x: left + half, width: half, align: end, lines: name}}},
		{above: 30, cells: []cell{
			{x: left, width: half, lines: l.set.lines(l.signature(), smaller.pale().of(7), half-20)},
			{x: left + half, width: half, align: end, lines: l.set.lines("Authorised signatory", smaller, half)},
		}},
	}
}

func (l *layout) foot(i int) {
	p := &l.page.pages[i]
	const y = pageHeight - 30
	number := l.set.line(fmt.Sprintf("Page %d of %d", i+1, len(l.page.pages)), smaller.pale())
	p.texts = append(p.texts, placed{line: l.set.line(l.named(), smaller.pale()), x: left, y: y},
		placed{line: number, x: right - number.width, y: y})
	p.rules = append(p.rules, rectangle{left, y - 12, width, 0.4, 190})
}

func dateText(date string) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return day.Format("2 Jan 2006")
}

// figures is an amount in a column whose head has the sign.
func figures(paise int64) string { return strings.TrimPrefix(rupees.Exact(paise), "₹") }
