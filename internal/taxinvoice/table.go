package taxinvoice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/rupees"
)

// A column is what one column of the table of items says.
type column struct {
	head  string
	align alignment
	says  func(i int, item Item) string
	sum   func() string // nil: nothing
}

// columns leaves out taxes where there are none. The second is the description, which takes the room that is
// left. The sign of amounts never stands on a line of its own.
func (l *layout) columns() []column {
	amount := func(of func(Item) int64) func(int, Item) string {
		return func(_ int, item Item) string { return figures(of(item)) }
	}
	sum := func(paise int64) func() string { return func() string { return figures(paise) } }
	columns := []column{
		{"#", begin, func(i int, _ Item) string { return strconv.Itoa(i + 1) }, nil},
		{"Description", natural, func(_ int, item Item) string { return item.Description }, func() string { return "Total" }},
		{"HSN/SAC", begin, func(_ int, item Item) string { return item.HSNSAC }, nil},
		{"Quantity", end, func(_ int, item Item) string { return quantity(item) }, nil},
		{"Unit price\u00a0₹", end, amount(func(i Item) int64 { return i.UnitPrice }), nil},
	}
	if !l.taxed() {
		return append(columns, column{"Value\u00a0₹", end, amount(func(i Item) int64 { return i.Amount }), sum(l.Subtotal)})
	}
	columns = append(columns, column{"Taxable value\u00a0₹", end, amount(func(i Item) int64 { return i.Amount }), sum(l.Subtotal)},
		column{"GST", end, func(_ int, i Item) string { return i.Rate.String() + "%" }, nil})
	if l.Supply == gst.InterState {
		columns = append(columns, column{"IGST\u00a0₹", end, amount(func(i Item) int64 { return i.IGST }), sum(l.IGST)})
	} else {
		columns = append(columns, column{"CGST\u00a0₹", end, amount(func(i Item) int64 { return i.CGST }), sum(l.CGST)},
			column{l.stateTax() + "\u00a0₹", end, amount(func(i Item) int64 { return i.SGST }), sum(l.SGST)})
	}
	return append(columns, column{"Total\u00a0₹", end, amount(func(i Item) int64 { return i.Total }), sum(l.Total)})
}

func quantity(i Item) string {
	if i.Unit == "" {
		return i.Quantity.String()
	}
	return i.Quantity.String() + " " + i.Unit
}

// A table is the items, and what they come to.
type table struct {
	head, items []row
	sum         row
	style       style
}

// Between columns, and the least that a description has.
const gutter, narrowest = 8.0, 110.0

func (l *layout) table() table {
	columns := l.columns()
	t := table{style: smaller}
	widths := l.widths(columns, t.style)
	for widths[1] < narrowest && t.style.size > 4 {
		t.style.size -= 0.5
		widths = l.widths(columns, t.style)
	}
	widths[1] = max(widths[1], narrowest)
	of := func(s style, says func(column) string) row {
		r := row{above: 3, below: 3, rule: 0.3}
		x := left + 3
		for i, c := range columns {
			r.cells = append(r.cells, cell{x: x, width: widths[i], align: c.align, lines: l.set.lines(says(c), s, widths[i]+0.5)})
			x += widths[i] + gutter
		}
		return r
	}
	head := of(t.style.bold(), func(c column) string { return c.head })
	head.shade, head.rule = 236, 0.7
	t.head = []row{head}
	for i, item := range l.Items {
		t.items = append(t.items, of(t.style, func(c column) string { return c.says(i, item) }))
	}
	t.sum = of(t.style.bold(), func(c column) string {
		if c.sum == nil {
			return ""
		}
		return c.sum()
	})
	t.sum.rule = 0.7
	return t
}

// widths are what the texts of the columns need, and what is left for the description. Heads may break.
func (l *layout) widths(columns []column, s style) []float64 {
	widths := make([]float64, len(columns))
	rest := width - 6 - gutter*float64(len(columns)-1)
	for i, c := range columns {
		if i == 1 {
			continue
		}
		for word := range strings.SplitSeq(c.head, " ") {
			widths[i] = max(widths[i], l.set.line(word, s.bold()).width)
		}
		for n, item := range l.Items {
			widths[i] = max(widths[i], l.set.line(c.says(n, item), s).width)
		}
		if c.sum != nil {
			widths[i] = max(widths[i], l.set.line(c.sum(), s.bold()).width)
		}
		rest -= widths[i]
	}
	widths[1] = rest
	return widths
}

// totals closes the table: what is to be paid, in figures and in words.
func (l *layout) totals(t table) []row {
	const first = width * 0.52
	words := l.set.lines("Total in words", smaller.pale(), first-20)
	words = append(words, l.set.lines(rupees.Words(l.Total), text.bold(), first-20)...)
	pairs := [][2]string{}
	if l.taxed() {
		pairs = append(pairs, [2]string{"Taxable value", rupees.Exact(l.Subtotal)})
		if l.Supply == gst.InterState {
			pairs = append(pairs, [2]string{"IGST", rupees.Exact(l.IGST)})
		} else {
			pairs = append(pairs, [2]string{"CGST", rupees.Exact(l.CGST)}, [2]string{l.stateTax(), rupees.Exact(l.SGST)})
		}
	}
	const keyWidth = 90.0
	keys, values := l.pairs(keyWidth, width-first-keyWidth, pairs)
	total := text.bold().of(11)
	keys, values = level(keys, values, l.set.lines("Total", total, keyWidth), l.set.lines(rupees.Exact(l.Total), total, width-first-keyWidth))
	k, v := l.pairs(keyWidth, width-first-keyWidth, [][2]string{{"Amount paid", rupees.Exact(l.Paid)}, {"Amount due", rupees.Exact(l.Due)}})
	return []row{t.sum, {above: 8, cells: []cell{
		{x: left, width: first, lines: words},
		{x: left + first, width: keyWidth, lines: append(keys, k...)},
		{x: left + first + keyWidth, width: width - first - keyWidth - 3, align: end, lines: append(values, v...)},
	}}}
}

// byRate is how much was taxed at each rate, which rule 46 leaves to the items and an accountant asks for.
func (l *layout) byRate() []row {
	if !l.taxed() {
		return nil
	}
	sums := map[gst.Rate]Item{}
	for _, i := range l.Items {
		s := sums[i.Rate]
		s.Amount, s.CGST, s.SGST, s.IGST = s.Amount+i.Amount, s.CGST+i.CGST, s.SGST+i.SGST, s.IGST+i.IGST
		sums[i.Rate] = s
	}
	rates := make([]gst.Rate, 0, len(sums))
	for r := range sums {
		rates = append(rates, r)
	}
	slices.SortFunc(rates, func(a, b gst.Rate) int { return cmp.Compare(a, b) })
	head := []string{"GST rate", "Taxable value\u00a0₹", "CGST\u00a0₹", l.stateTax() + "\u00a0₹", "Tax\u00a0₹"}
	if l.Supply == gst.InterState {
		head = []string{"GST rate", "Taxable value\u00a0₹", "IGST\u00a0₹"}
	}
	rows := []row{l.ratesRow(smaller.bold(), head)}
	rows[0].above, rows[0].rule = 12, 0.5
	for _, r := range rates {
		s := sums[r]
		cells := []string{r.String() + "%", figures(s.Amount), half(r, s.CGST), half(r, s.SGST), figures(s.CGST + s.SGST)}
		if l.Supply == gst.InterState {
			cells = []string{r.String() + "%", figures(s.Amount), figures(s.IGST)}
		}
		rows = append(rows, l.ratesRow(smaller, cells))
	}
	return rows
}

// half is an amount at half of the rate.
func half(r gst.Rate, paise int64) string {
	return figures(paise) + " @ " + strconv.FormatFloat(float64(r)/200, 'f', -1, 64) + "%"
}

func (l *layout) ratesRow(s style, says []string) row {
	const first = 60.0
	each := (width - first) / float64(len(says)-1)
	r := row{above: 2, below: 2, rule: 0.3, cells: []cell{{x: left + 3, width: first, lines: l.set.lines(says[0], s, first-3)}}}
	for i, text := range says[1:] {
		r.cells = append(r.cells, cell{x: left + first + float64(i)*each, width: each - 3, align: end, lines: l.set.lines(text, s, each-3)})
	}
	return r
}
