package letter

import (
	"strings"

	html "html/template"
)

// A letter may take so many steps: about 100 ms of the work that a step costs at most. The largest letter that
// makes sense, of a list with a thousand lines, takes 50,000.
const (
	maxSteps   = 250_000
	stepBytes  = 64       // of a text that a function looks at, or that is written, are a step
	maxText    = 64 << 10 // bytes of a text that a function makes
	maxNamed   = 3        // values that an error names
	lineLength = 60       // characters of a value that an error shows
)

// What html/template writes in the place of a value that is not safe where it stands.
const refused = "ZgotmplZ"

// A work is what is left to do for one letter. Functions spend of it.
type work struct {
	left    int
	sheet   *sheet   // that is being rendered
	schemes []string // values that name another scheme than a mail's links may have
	marked  bool     // a value says what html/template writes for what it refuses
}

func (w *work) begin() { w.left = maxSteps }

func (w *work) turnTo(s *sheet) { w.sheet, w.schemes, w.marked = s, nil, false }

func (w *work) spend(steps int) error {
	if steps > w.left {
		w.left = 0
		return errTooLarge
	}
	w.left -= steps
	return nil
}

// look pays for looking at values.
func (w *work) look(values ...any) error {
	steps := 1
	for _, v := range values {
		steps += 1 + size(v)/stepBytes
	}
	return w.spend(steps)
}

func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case decimal:
		return len(v)
	}
	return 0
}

// each is called before a range with the weight of its body, and its value.
func (w *work) each(weight, name int, v any) (any, error) {
	n := 0
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		n = len(v)
	case map[string]any:
		// Their keys are put in order.
		n = 4 * len(v)
	default:
		return nil, complain("%s is %s; range goes through a list or an object", w.sheet.values[name], kind(constant(v)))
	}
	if n > maxSteps {
		return nil, errTooLarge
	}
	return v, w.spend(n * weight)
}

// write is called before a value is written, with its place among the sheet's.
func (w *work) write(name int, v any) (any, error) {
	v = constant(v)
	if err := w.look(v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case bool, int64:
		return v, nil
	case decimal:
		return string(v), nil
	case string:
		return w.link(name, v), nil
	}
	return nil, complain("%s is %s; only texts and numbers can be written", w.sheet.values[name], kind(v))
}

// link keeps what may go wrong where a link begins, for unsafe. html/template takes http, https and mailto there;
// telephones and payments are as harmless.
func (w *work) link(name int, value string) any {
	if strings.Contains(value, refused) {
		w.marked = true
	}
	scheme, _, found := strings.Cut(value, ":")
	if !found || strings.Contains(scheme, "/") {
		return value
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "mailto":
	case "tel", "upi":
		if w.sheet.part == partHTML {
			return html.URL(value)
		}
	default:
		if len(w.schemes) < maxNamed {
			w.schemes = append(w.schemes, w.sheet.values[name])
		}
	}
	return value
}

// unsafe is the error of a letter in which html/template put something harmless in the place of a value.
func (w *work) unsafe() *Error {
	detail := "a value isn't safe where it stands, in a style or in the name of a tag or attribute"
	if len(w.schemes) > 0 {
		detail = "a link can begin with http:, https:, mailto:, tel: or upi: alone; look at " + strings.Join(w.schemes, ", ")
	}
	return &Error{Part: partHTML, Detail: detail}
}
