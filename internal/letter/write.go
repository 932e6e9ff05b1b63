package letter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrUnknown means that there is no template of the name.
var ErrUnknown = errors.New("there is no such template")

// Unfit data are those that a template of the product's own can't be made from, with all that is wrong with them.
type Unfit []DataError

// Error implements error.
func (u Unfit) Error() string {
	said := make([]string, len(u))
	for i := range u {
		said[i] = u[i].Error()
	}
	return strings.Join(said, "; ")
}

// Write writes a letter by the template of a name: by own, an organization's template of that name, where there is
// one, and else by the product's. It fails with ErrUnknown, with [Unfit] or a *[DataError] where the fault is with
// the data, and with an *[Error] where it is with the template. own gets the data as they are, the product's
// templates get them as [Fit] gives them.
func Write(name string, own *Template, data json.RawMessage) (Letter, error) {
	if own != nil {
		made, err := Parse(*own)
		if err != nil {
			return Letter{}, err
		}
		return made.Render(data)
	}
	made, ok := Standard(name)
	if !ok {
		return Letter{}, fmt.Errorf("template %q: %w", excerpt(name), ErrUnknown)
	}
	fit, faults := Fit(name, data)
	if len(faults) > 0 {
		return Letter{}, Unfit(faults)
	}
	return made.Render(fit)
}

// Try reads a template that is to be kept, and writes it once where the product knows data for its name, as it then
// takes the place of the product's own.
func Try(t Template) error {
	made, err := Parse(t)
	if err != nil {
		return err
	}
	sample := Sample(t.Name)
	if sample == nil {
		return nil
	}
	_, err = made.Render(sample)
	var wrong *Error
	if errors.As(err, &wrong) {
		wrong.Detail += " (with the sample data of " + t.Name + ")"
	}
	return err
}
