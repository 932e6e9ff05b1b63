package mail

import (
	"net/mail"
	"strings"
	"time"
)

// A hardCase is a mail that careless composers or servers get wrong.
type hardCase struct {
	name string
	Message
}

const id = "0199f3a2-7c11-7000-8000-5a1d2c3b4e5f"

var written = time.Date(2026, 11, 22, 9, 30, 5, 0, time.FixedZone("IST", 5*3600+1800))

// plain is a mail with nothing hard in it, for cases to change.
func plain(change func(m *Message)) Message {
	m := Message{
		ID:      id,
		Date:    written,
		From:    mail.Address{Name: "Rao Traders", Address: "billing@rao.example"},
		To:      []mail.Address{{Name: "Asha Kumar", Address: "asha@customer.example"}},
		Subject: "Invoice INV/2026-27/0042",
		Text:    "Dear Asha,\n\nplease find the invoice attached.\n",
	}
	change(&m)
	return m
}

func subject(s string) Message { return plain(func(m *Message) { m.Subject = s }) }
func text(s string) Message    { return plain(func(m *Message) { m.Text = s }) }
func name(s string) Message {
	return plain(func(m *Message) { m.From.Name, m.To[0].Name = s, s })
}
func address(s string) Message {
	return plain(func(m *Message) { m.From.Address, m.To[0].Address = s, s })
}
func file(name, kind, content string) Message {
	return plain(func(m *Message) {
		m.Attachments = []Attachment{{Filename: name, ContentType: kind, Content: []byte(content)}}
	})
}

var everyByte = func() string {
	var b strings.Builder
	for range 20 {
		for c := range 256 {
			b.WriteByte(byte(c))
		}
	}
	return b.String()
}()

var pixel = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00"

// corpus is composed, read by another parser, and sent through servers that sign.
var corpus = append(append(append(subjects, names...), bodies...), files...)

var subjects = []hardCase{
	{"plain", plain(func(*Message) {})},
	{"empty subject", subject("")},
	{"long subject", subject(strings.Repeat("payment of the invoice is due ", 20) + "now")},
	{"subject of one long word", subject(strings.Repeat("x", 900))},
	{"long Devanagari subject", subject(strings.Repeat("आपका चालान अब देय है ", 20) + "।")},
	{"right to left", subject("تذكير بالفاتورة رقم ٤٢ — חשבונית 42 (INV-42)")},
	{"bidirectional isolates", subject("Invoice \u2068فاتورة\u2069 is paid \u200f")},
	{"Tamil, Bengali, Gurmukhi", subject("விலைப்பட்டியல் · চালান · ਚਲਾਨ · ಸರಕುಪಟ್ಟಿ")},
	{"combining marks", subject("e\u0301 a\u0323\u0302 क्\u200dष " + strings.Repeat("o\u0308\u0332", 60))},
	{"emoji of several characters", subject(strings.Repeat("👩🏽‍💻🇮🇳", 30))},
	{"mostly ASCII", subject("₹ 4,72,000.00 received – thank you for your business, Señor Núñez")},
	{"looks encoded", subject("=?utf-8?q?not=20encoded?= and =?us-ascii?b?eA==?=")},
	{"spaces", subject("  two  before,   three within, one after ")},
	{"spaces at folds", subject(strings.Repeat("123456789  ", 7) + strings.Repeat("12345678   ", 20) + ".")},
	{"headers in a subject", subject("Bcc: victim@elsewhere.example; Subject: other")},
	{"punctuation", subject(`"quoted" <bracket> (comment) [list] \ ; , : @ % = ? _ ~`)},
}

var names = []hardCase{
	{"name with comma", name("Rao, Asha")},
	{"name with quotes and backslashes", name(`Asha "the \ boss" Rao \`)},
	{"name in Devanagari", name("आशा राव एंड सन्स प्राइवेट लिमिटेड, मुंबई")},
	{"long name", name(strings.Repeat("Rao & Sons (Exports) Private Limited, ", 6) + "Pune")},
	{"name that looks encoded", name("=?utf-8?q?Somebody_Else?=")},
	{"name that is an address", name("ceo@bank.example")},
	{"name with a dot and an emoji", name("Dr. A. Rao 🙂")},
	{"name in Arabic", name("شركة الراجحي <التجارة>")},
	{"name with spaces about it", name(" Asha  Rao ")},
	{"plus and apostrophe", address("o'brien+invoices=2026@sub.customer.example")},
	{"all that an atom has", address("!#$%&'*+-/=?^_`{|}~.x@customer.example")},
	{"quoted local part", address(`"john..doe,(x);:[y]"@customer.example`)},
	{"domain in Devanagari", address("asha@उदाहरण.भारत")},
	{"domain in capitals", address("Asha.Rao@CUSTOMER.Example")},
	{"longest address", address(strings.Repeat("l", 64) + "@" + strings.Repeat(strings.Repeat("d", 46)+".", 4) + "e")},
	{"many recipients", plain(func(m *Message) {
		m.ReplyTo = []mail.Address{{Name: "आशा", Address: "asha@rao.example"}, {Address: "office@rao.example"}}
		for range 30 {
			m.To = append(m.To, mail.Address{Name: "Sharma, Dr. वेद", Address: "ved.sharma@customer.example"})
			m.Cc = append(m.Cc, mail.Address{Address: "accounts@customer.example"})
		}
	})},
	{"blind copies alone", plain(func(m *Message) { m.To = nil })},
}

var bodies = []hardCase{
	{"lines of 1,000 characters", text(strings.Repeat(strings.Repeat("0123456789", 100)+"\n", 5))},
	{"one line of 100,000 characters", text(strings.Repeat("word ", 20000) + ".")},
	{"long lines of Tamil", text(strings.Repeat(strings.Repeat("வணக்கம் ", 150)+"\n", 3))},
	{"dots", text(".\n..\n.hidden\n\n.\nafter\n.")},
	{"dots at soft breaks", text(strings.Repeat(".", 500) + "\n" + strings.Repeat(" .", 300))},
	{"from", text("From here on\nFrom: me\n>From there\n" + strings.Repeat("x", 75) + "From x\nFrom ")},
	{"trailing spaces", text("two  \ntab\t\nonly spaces:\n   \n-- \nsignature ")},
	{"only line feeds at the end", text("text\n\n\n\n")},
	{"no line end", text("text")},
	{"empty", text("")},
	{"bare carriage returns", text("one\rtwo\r\rthree\r\nfour\n\rfive\r")},
	{"control characters", text("null \x00 bell \a form feed \f escape \x1b delete \x7f next line \u0085 end\n")},
	{"looks quoted-printable", text("=3D =\n= =20\nhttps://pay.example/?a=3D&b=20=\n")},
	{"looks like a boundary", plain(func(m *Message) {
		m.Text = "--\n--=_\n--" + m.multipart("alternative", nil).boundary + "--\n"
		m.HTML = "<p>--" + m.multipart("related", nil).boundary + "</p>"
	})},
	{"surrogates and noncharacters", text("\uffff \U0010ffff \ufffd \ufeffend\n")},
	{"text and HTML", plain(func(m *Message) {
		m.HTML = "<!doctype html>\n<p style=\"color:#333\">Dear आशा, please pay ₹&nbsp;4,72,000 = all of it.</p>\n" +
			strings.Repeat("<td>x</td>", 300)
	})},
	{"unsubscribe", plain(func(m *Message) {
		m.Unsubscribe = "https://mail.rao.example/u/" + strings.Repeat("aB3_-", 60) + "?x=1&y=%20"
	})},
}

var files = []hardCase{
	{"attachment", file("INV-2026-27-0042.pdf", "application/pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"+everyByte)},
	{"name of file in Devanagari", file("चालान-४२ (अंतिम).pdf", "application/pdf", "x")},
	{"name of file in Arabic and emoji", file("فاتورة 🙂.pdf", "application/pdf", "x")},
	{"long name of file", file(strings.Repeat("बीजक ", 49)+"end.pdf", "application/pdf", "x")},
	{"long ASCII name of file", file(strings.Repeat("invoice ", 30)+"end.pdf", "application/pdf", "x")},
	{"quotes in name of file", file(`the "final" one; it's 100% = done, *really*.csv`, "text/csv; charset=utf-8; header=present", "a,b\n")},
	{"name of file looks encoded", file("=?utf-8?q?x?=.pdf", "application/pdf", "x")},
	{"spaces in name of file", file("two  spaces .pdf", "application/pdf", "x")},
	{"long type of file", file("b.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet; "+
		`a="; b=c"; d=`+strings.Repeat("e", 90), "x")},
	{"file of no bytes", file("empty.bin", "application/octet-stream", "")},
	{"file of every byte", file("all.bin", "", everyByte)},
	{"text file with bare ends of lines", file("notes.txt", "text/plain", "a\nb\rc\r\n.\n")},
	{"files of all lengths", plain(func(m *Message) {
		for n := range 60 {
			m.Attachments = append(m.Attachments, Attachment{Filename: "x.bin", Content: []byte(everyByte[:n])})
		}
	})},
	{"related within alternative within mixed", plain(func(m *Message) {
		m.HTML = `<p>See <img src="cid:logo@rao"> and <img src="cid:chart">.</p>`
		m.Attachments = []Attachment{
			{Filename: "invoice.pdf", ContentType: "application/pdf", Content: []byte("%PDF")},
			{ContentType: "image/png", Content: []byte(pixel), ContentID: "logo@rao"},
			{Filename: "लोगो.png", ContentType: "image/png", Content: []byte(pixel), ContentID: "chart"},
			{Filename: "terms.txt", ContentType: "text/plain; charset=utf-8", Content: []byte("नियम\n")},
		}
	})},
	{"image in HTML alone", plain(func(m *Message) {
		m.Text, m.HTML = "", `<h1>Paid</h1><img src="cid:a" alt="Chart of sales"><p>Thank you</p>`
		m.Attachments = []Attachment{{ContentType: "image/gif", Content: []byte("GIF89a"), ContentID: "a"}}
	})},
}
