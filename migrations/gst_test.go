package migrations_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/gst"
)

const judgeGSTINs = `SELECT gstin_is_valid(text) FROM unnest($1::text[]) WITH ORDINALITY AS t (text, n) ORDER BY n`

// TestGSTINAsTheProgramSeesIt: the database and the program agree about every checksum, and the database takes
// whatever the program lets in.
func TestGSTINAsTheProgramSeesIt(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"27AAPFU0939F1ZV", "27AAPFU0939F1ZW", "0717UNO00157UNO", "00000000000000", "000000000000000", "27aapfu0939f1zv"}
	for range 20_000 {
		text := randomGSTIN(random)
		if random.IntN(2) == 0 { // one character is mistyped
			at := random.IntN(15)
			text = text[:at] + string(base36[random.IntN(36)]) + text[at+1:]
		}
		texts = append(texts, text)
	}
	rows, err := conn.Query(t.Context(), judgeGSTINs, texts)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil || len(verdicts) != len(texts) {
		t.Fatalf("%d verdicts on %d texts: %v", len(verdicts), len(texts), err)
	}
	accepted, refused := 0, 0
	for i, text := range texts {
		_, err := gst.CheckGSTIN(text)
		digits := text[0] <= '9' && text[1] <= '9' // all that the database knows of the pattern
		if want := gst.HasChecksum(text) && digits; verdicts[i] != want {
			t.Errorf("the database says %v of %s, the program %v", verdicts[i], text, want)
		}
		if err == nil && !verdicts[i] {
			t.Errorf("the program takes %s, and the database refuses it", text)
		}
		if err == nil {
			accepted++
		} else if !verdicts[i] {
			refused++
		}
	}
	if accepted < 5000 || refused < 5000 {
		t.Errorf("of %d, both accept %d and both refuse %d: the sample says little", len(texts), accepted, refused)
	}
}

const base36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func randomGSTIN(r *rand.Rand) string {
	pick := func(from string, n int) (text string) {
		for range n {
			text += string(from[r.IntN(len(from))])
		}
		return text
	}
	states := gst.States()
	digits, letters := base36[:10], base36[10:]
	text := states[r.IntN(36)].Code + pick(letters, 5) + pick(digits, 4) + pick(letters, 1) + pick(base36[1:], 1) + "Z"
	whole, err := gst.CompleteGSTIN(text)
	if err != nil {
		panic(err)
	}
	return whole
}

const multiply = `
SELECT round(quantity::numeric(14, 3) * price)::text FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS t (quantity, price, n)
ORDER BY n`

// TestAmountAsTheProgramSeesIt: the check constraint of invoice_items rounds as the program does.
func TestAmountAsTheProgramSeesIt(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	random := rand.New(rand.NewPCG(3, 4))
	var lines []gst.Line
	var quantities []string
	var prices []int64
	for range 10_000 {
		l := gst.Line{Quantity: gst.Quantity(1 + random.Int64N(100_000)), UnitPrice: random.Int64N(1000)}
		if random.IntN(2) == 0 {
			l = gst.Line{Quantity: gst.Quantity(1 + random.Int64N(99_999_999_999_999)), UnitPrice: random.Int64N(1 << 16)}
		}
		lines, quantities, prices = append(lines, l), append(quantities, l.Quantity.String()), append(prices, l.UnitPrice)
	}
	rows, err := conn.Query(t.Context(), multiply, quantities, prices)
	if err != nil {
		t.Fatal(err)
	}
	amounts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(amounts) != len(lines) {
		t.Fatalf("%d amounts of %d lines: %v", len(amounts), len(lines), err)
	}
	for i, l := range lines {
		tax, err := l.Tax(gst.IntraState)
		if got := strconv.FormatInt(tax.Amount, 10); err != nil || got != amounts[i] {
			t.Errorf("%s times %d is %s, %v; the database has %s", quantities[i], l.UnitPrice, got, err, amounts[i])
		}
	}
}
