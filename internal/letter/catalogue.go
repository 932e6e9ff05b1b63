package letter

import "slices"

// A Function is what a template may call.
type Function struct {
	Name    string
	Call    string // an example
	Meaning string
}

// Functions lists what a template may call, like with like.
func Functions() []Function { return slices.Clone(catalogue) }

var catalogue = []Function{
	{"rupees", "rupees .invoice.total", "An amount in paise as bills have it: ₹1,18,000.00."},
	{"number", "number .count", "A whole number with its digits grouped as in India: 1,18,000."},
	{"date", "date .invoice.due_date", "A date, or the day in India of a time: 1 April 2026."},
	{"shortdate", "shortdate .invoice.due_date", "The same in short: 01 Apr 2026."},
	{"plural", `plural .days "day" "days"`, "A number and its noun: 1 day, 3 days."},
	{"default", `default "there" .name`, "The value, or what stands for it where it is null or empty."},
	{"upper", "upper .name", "In capitals."},
	{"lower", "lower .name", "In small letters."},
	{"title", "title .name", "Each word with a capital."},
	{"trim", "trim .name", "Without white space at both ends."},
	{"truncate", "truncate 40 .title", "The first characters, and … where there are more."},
	{"concat", `concat .first " " .last`, "Texts and numbers after each other."},
	{"join", `join ", " .tags`, "A list of texts with a text between them."},
	{"lines", "range lines .address", "The lines of a text."},
	{"paragraphs", "range paragraphs .note", "What blank lines part in a text."},
	{"len", "len .items", "How many characters, elements or fields there are."},
	{"index", "index .items 0", "An element of a list, counted from 0, or a field of an object by its name."},
	{"has", `has . "note"`, "Whether an object has a field."},
	{"add", "add .done 1", "The sum of two whole numbers."},
	{"sub", "sub .total .paid", "Their difference."},
	{"eq", `eq .status "paid" "sent"`, "Whether the first is one of the others."},
	{"ne", `ne .status "paid"`, "Whether two are different."},
	{"lt", "lt .days 7", "Whether the first is less: of numbers, or of texts such as dates."},
	{"le", "le .days 7", "Whether it is no more."},
	{"gt", "gt .days 7", "Whether it is more."},
	{"ge", "ge .days 7", "Whether it is no less."},
	{"and", "and .name .paid", "The first that is empty, null, false or 0, else the last."},
	{"or", "or .name .company", "The first that is none of these, else the last."},
	{"not", "not .paid", "Whether it is empty, null, false or 0."},
}

var functionNames = func() (names []string) {
	for _, f := range catalogue {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}()
