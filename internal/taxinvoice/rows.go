package taxinvoice

// Margins and what a page has room for, in points.
const (
	left, right = 40.0, pageWidth - 40
	top, bottom = 40.0, pageHeight - 52
	width       = right - left
)

// An alignment is where in its cell a line stands.
type alignment int

const (
	begin   alignment = iota // left
	end                      // right
	natural                  // where lines of its script begin
)

// A cell is lines beneath each other.
type cell struct {
	x, width float64
	align    alignment
	lines    []line
}

func (c cell) height() (h float64) {
	for _, l := range c.lines {
		h += l.height
	}
	return h
}

// A row is cells beside each other.
type row struct {
	cells        []cell
	above, below float64 // empty space
	rule         float64 // thickness of the line beneath it
	shade        int     // 0: none
}

func (r row) height() (h float64) {
	for _, c := range r.cells {
		h = max(h, c.height())
	}
	return r.above + h + r.below + r.rule
}

// cut splits a row that is too tall: what fits into the height, one line at least, and the rest.
func (r row) cut(height float64) (head, rest row) {
	head, rest = r, r
	head.cells, rest.cells = nil, nil
	head.below, head.rule, rest.above = 0, 0, 0
	height -= r.above
	for _, c := range r.cells {
		n, h := 0, 0.0
		for n < len(c.lines) && (n == 0 || h+c.lines[n].height <= height) {
			h += c.lines[n].height
			n++
		}
		first, second := c, c
		first.lines, second.lines = c.lines[:n], c.lines[n:]
		head.cells, rest.cells = append(head.cells, first), append(rest.cells, second)
	}
	return head, rest
}

// A composer fills pages with rows.
type composer struct {
	pages []page
	y     float64
	stamp line
	// On every page but the first: what stands at its top, and beneath it what heads the table that goes on.
	running, heading []row
}

func (c *composer) turn() {
	c.pages = append(c.pages, page{stamp: c.stamp})
	c.y = top
	if len(c.pages) > 1 {
		c.put(c.running)
		c.put(c.heading)
	}
}

// space is what the page still has room for.
func (c *composer) space() float64 { return bottom - c.y }

// together places rows on one page, the next if need be. Where no page has so much room, they flow.
func (c *composer) together(rows ...row) {
	if total := heights(rows); total > c.space() && total <= c.roomOfPage() {
		c.turn()
	}
	c.flow(rows...)
}

// flow places rows one after the other. A row goes over to the next page as a whole, unless no page has room for it.
func (c *composer) flow(rows ...row) {
	for _, r := range rows {
		if r.height() > c.space() && r.height() <= c.roomOfPage() {
			c.turn()
		}
		for r.height() > c.space() {
			if c.space() < c.roomOfPage()/4 {
				c.turn()
			}
			head, rest := r.cut(c.space())
			c.put([]row{head})
			c.turn()
			r = rest
		}
		c.put([]row{r})
	}
}

func (c *composer) roomOfPage() float64 {
	return bottom - top - heights(c.running) - heights(c.heading)
}

func heights(rows []row) (h float64) {
	for _, r := range rows {
		h += r.height()
	}
	return h
}

// put places rows here.
func (c *composer) put(rows []row) {
	p := &c.pages[len(c.pages)-1]
	for _, r := range rows {
		h := r.height()
		if r.shade > 0 {
			p.shades = append(p.shades, rectangle{left, c.y, width, h, r.shade})
		}
		for _, cell := range r.cells {
			p.texts = append(p.texts, cell.placed(c.y+r.above)...)
		}
		c.y += h
		if r.rule > 0 {
			p.rules = append(p.rules, rectangle{left, c.y - r.rule, width, r.rule, 150})
		}
	}
}

func (c cell) placed(y float64) []placed {
	texts := make([]placed, len(c.lines))
	for i, l := range c.lines {
		x := c.x
		if c.align == end || c.align == natural && l.rightToLeft {
			x += c.width - l.width
		}
		texts[i] = placed{line: l, x: x, y: y + l.ascent}
		y += l.height
	}
	return texts
}
