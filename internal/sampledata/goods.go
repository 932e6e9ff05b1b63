package sampledata

import (
	"time"

	"github.com/payaid/payaid/internal/gst"
)

// An article is something that is sold, by its HSN code, or by its SAC, which begins with 99.
type article struct {
	name         string
	code         string
	rate         gst.Rate // since 22 September 2025
	before       gst.Rate // until then
	least, most  int      // price in rupees
	quantityMost int
	fractional   bool // sold by hours or weight
}

// The day from which the rates of the 56th meeting of the GST Council hold (notification 9/2025-Central Tax (Rate)).
var newRates = time.Date(2025, time.September, 22, 0, 0, 0, 0, india)

// articles are ordinary goods and services with the rates that the notifications give them.
var articles = []article{
	{"Laptop, 14 inch", "8471", 18_00, 18_00, 32000, 78000, 6, false},
	{"Laser printer", "8443", 18_00, 18_00, 9500, 28000, 4, false},
	{"Mobile phone", "8517", 18_00, 18_00, 8000, 32000, 10, false},
	{"LED panel light", "9405", 18_00, 18_00, 350, 1800, 80, false},
	{"Steel bars, kg", "7214", 18_00, 18_00, 52, 74, 900, true},
	{"PVC pipe, metre", "3917", 18_00, 18_00, 60, 240, 300, false},
	{"Plywood sheet", "4412", 18_00, 18_00, 900, 3200, 60, false},
	{"Office chair", "9401", 18_00, 18_00, 3200, 11000, 20, false},
	{"Emulsion paint, litre", "3209", 18_00, 18_00, 190, 520, 120, false},
	{"Corrugated box", "4819", 5_00, 12_00, 14, 60, 900, false},
	{"Cement, 50 kg bag", "2523", 18_00, 28_00, 330, 420, 150, false},
	{"Air conditioner, 1.5 ton", "8415", 18_00, 28_00, 29000, 46000, 4, false},
	{"Ghee, kg", "0405", 5_00, 12_00, 520, 720, 40, true},
	{"Medicines, assorted", "3004", 5_00, 12_00, 120, 900, 60, false},
	{"Assam tea, kg", "0902", 5_00, 5_00, 240, 620, 50, true},
	{"Turmeric powder, kg", "0910", 5_00, 5_00, 160, 280, 60, true},
	{"Sunflower oil, litre", "1512", 5_00, 5_00, 120, 175, 120, false},
	{"Cotton fabric, metre", "5208", 5_00, 5_00, 90, 380, 200, true},
	{"Cotton shirt", "6205", 5_00, 5_00, 380, 980, 60, false},
	{"Silver jewellery, gram", "7113", 3_00, 3_00, 95, 160, 120, true},
	{"Printed books", "4901", 0, 0, 150, 650, 60, false},
	{"Fresh vegetables, kg", "0709", 0, 0, 25, 90, 150, true},
	{"Software development, hour", "998314", 18_00, 18_00, 900, 2800, 80, true},
	{"IT consulting, hour", "998313", 18_00, 18_00, 1200, 3500, 40, true},
	{"Advertising campaign", "998361", 18_00, 18_00, 8000, 60000, 2, false},
	{"Bookkeeping, month", "998222", 18_00, 18_00, 4500, 18000, 3, false},
	{"GST return filing", "998231", 18_00, 18_00, 1500, 6000, 4, false},
	{"Repair of computers, hour", "998713", 18_00, 18_00, 450, 1200, 12, true},
	{"Rent of office space, month", "997212", 18_00, 18_00, 12000, 65000, 1, false},
	{"Commercial training, day", "999293", 18_00, 18_00, 6000, 24000, 5, false},
	{"Catering, plate", "996334", 5_00, 5_00, 220, 650, 200, false},
	{"Hotel room, night", "996311", 5_00, 12_00, 1500, 5200, 8, false},
}

func (a article) rateOn(day time.Time) gst.Rate {
	if day.Before(newRates) {
		return a.before
	}
	return a.rate
}

// line draws how much of it is sold, and at what price.
func (a article) line(d dice, day time.Time) gst.Line {
	quantity := gst.Quantity(1000 * d.between(1, a.quantityMost))
	if a.fractional && d.percent(40) {
		quantity += gst.Quantity(250 * d.between(1, 3))
	}
	price := int64(d.between(a.least, a.most)) * 100
	if a.most < 1000 {
		price += int64(5 * d.between(0, 19))
	}
	return gst.Line{Quantity: quantity, UnitPrice: price, Rate: a.rateOn(day)}
}
