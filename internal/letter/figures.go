package letter

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/payaid/payaid/internal/rupees"
)

// rupees writes paise with both their digits, as bills have it: ₹1,18,000.00.
func (w *work) rupees(v any) (any, error) {
	paise, ok := constant(v).(int64)
	if !ok {
		return nil, complain("rupees takes a whole number of paise, not %s", kind(constant(v)))
	}
	if err := w.look(); err != nil {
		return nil, err
	}
	written := rupees.Format(paise)
	if !strings.Contains(written, ".") {
		written += ".00"
	}
	return written, nil
}

// number groups digits as India does: 1,18,000.
func (w *work) number(v any) (any, error) {
	n, ok := constant(v).(int64)
	if !ok || n > math.MaxInt64/100 || n < math.MinInt64/100 {
		return nil, complain("number takes a whole number, not %s", kind(constant(v)))
	}
	return strings.Replace(rupees.Format(100*n), "₹", "", 1), w.look()
}

func (w *work) add(a, b any) (any, error) {
	x, y, err := w.two("add", a, b)
	if sum := x + y; err == nil && (sum > x) == (y > 0) {
		return sum, nil
	}
	return nil, cmp.Or(err, complain("a sum is too large"))
}

func (w *work) sub(a, b any) (any, error) {
	x, y, err := w.two("sub", a, b)
	if difference := x - y; err == nil && (difference < x) == (y > 0) {
		return difference, nil
	}
	return nil, cmp.Or(err, complain("a difference is too large"))
}

func (w *work) two(name string, a, b any) (x, y int64, err error) {
	x, first := constant(a).(int64)
	y, second := constant(b).(int64)
	if !first || !second {
		return 0, 0, complain("%s takes two whole numbers", name)
	}
	return x, y, w.look()
}

// eq tells whether a value is one of others.
func (w *work) eq(v, other any, others ...any) (any, error) {
	for _, o := range append([]any{other}, others...) {
		if err := w.look(v, o); err != nil {
			return nil, err
		}
		same, err := equal(constant(v), constant(o))
		if same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func (w *work) ne(v, other any) (any, error) {
	same, err := w.eq(v, other)
	if err != nil {
		return nil, err
	}
	return same == false, nil
}

func equal(a, b any) (bool, error) {
	if !comparable(a) || !comparable(b) {
		return false, complain("lists and objects can't be compared")
	}
	x, first := float(a)
	y, second := float(b)
	return a == b || first && second && x == y && !(whole(a) && whole(b)), nil
}

func comparable(v any) bool {
	switch v.(type) {
	case nil, bool, string, int64, decimal:
		return true
	}
	return false
}

func whole(v any) bool {
	_, ok := v.(int64)
	return ok
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case decimal:
		// Beyond what a float64 holds it is infinite.
		f, _ := strconv.ParseFloat(string(v), 64)
		return f, true
	}
	return 0, false
}

// order is a function that compares two numbers, or two texts such as dates.
func (w *work) order(holds func(int) bool) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		if err := w.look(a, b); err != nil {
			return nil, err
		}
		a, b = constant(a), constant(b)
		if s, ok := a.(string); ok {
			if t, ok := b.(string); ok {
				return holds(strings.Compare(s, t)), nil
			}
		}
		if whole(a) && whole(b) {
			return holds(cmp.Compare(a.(int64), b.(int64))), nil
		}
		x, first := float(a)
		y, second := float(b)
		if !first || !second {
			return nil, complain("%s and %s can't be put in order", kind(a), kind(b))
		}
		return holds(cmp.Compare(x, y)), nil
	}
}
