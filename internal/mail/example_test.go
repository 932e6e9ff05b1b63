package mail_test

import (
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/mail"
)

func ExampleMessage_Compose() {
	to, err := mail.ParseAddress("आशा राव <Asha@उदाहरण.भारत>")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := mail.Message{
		ID:          "0199f3a2-7c11-7000-8000-5a1d2c3b4e5f",
		Date:        time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
		From:        netmail.Address{Name: "Rao & Sons", Address: "billing@rao.example"},
		To:          []netmail.Address{to},
		Subject:     "Invoice 42 is due",
		HTML:        `<p>Please <a href="https://rao.example/42">pay</a> by Friday.</p>`,
		Unsubscribe: "https://mail.rao.example/u/K7Q2",
		Attachments: []mail.Attachment{{Filename: "चालान.pdf", ContentType: "application/pdf", Content: []byte("%PDF-1.7")}},
	}
	content, err := m.Compose()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.ReplaceAll(string(content), "\r\n", "\n"))
	// Output:
	// Date: Sun, 22 Nov 2026 09:30:00 +0000
	// Message-ID: <0199f3a2-7c11-7000-8000-5a1d2c3b4e5f@rao.example>
	// From: "Rao & Sons" <billing@rao.example>
	// To: =?utf-8?b?4KSG4KS24KS+IOCksOCkvuCktQ==?=
	//  <Asha@xn--p1b6ci4b4b3a.xn--h2brj9c>
	// Subject: Invoice 42 is due
	// Auto-Submitted: auto-generated
	// List-Unsubscribe: <https://mail.rao.example/u/K7Q2>
	// List-Unsubscribe-Post: List-Unsubscribe=One-Click
	// MIME-Version: 1.0
	// Content-Type: multipart/mixed;
	//  boundary="=_37a3f1ac18c9ceb00a4ed38b3a5691"
	//
	// --=_37a3f1ac18c9ceb00a4ed38b3a5691
	// Content-Type: multipart/alternative;
	//  boundary="=_5a7258098384d5194c9c53665f91cf"
	//
	// --=_5a7258098384d5194c9c53665f91cf
	// Content-Type: text/plain; charset=utf-8
	// Content-Transfer-Encoding: quoted-printable
	//
	// Please pay (https://rao.example/42) by Friday.
	//
	// --=_5a7258098384d5194c9c53665f91cf
	// Content-Type: text/html; charset=utf-8
	// Content-Transfer-Encoding: quoted-printable
	//
	// <p>Please <a href=3D"https://rao.example/42">pay</a> by Friday.</p>=
	//
	// --=_5a7258098384d5194c9c53665f91cf--
	//
	// --=_37a3f1ac18c9ceb00a4ed38b3a5691
	// Content-Type: application/pdf;
	//  name="=?utf-8?b?4KSa4KS+4KSy4KS+4KSoLnBkZg==?="
	// Content-Transfer-Encoding: base64
	// Content-Disposition: attachment;
	//  filename*=utf-8''%E0%A4%9A%E0%A4%BE%E0%A4%B2%E0%A4%BE%E0%A4%A8.pdf
	//
	// JVBERi0xLjc=
	//
	// --=_37a3f1ac18c9ceb00a4ed38b3a5691--
}

func ExampleMessage_Compose_refused() {
	m := mail.Message{
		ID:      "0199f3a2-7c11-7000-8000-5a1d2c3b4e5f",
		Date:    time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
		From:    netmail.Address{Address: "billing@rao.example"},
		Subject: "Invoice\r\nBcc: somebody@elsewhere.example",
	}
	_, err := m.Compose()
	fmt.Println(err)
	// Output: subject: has a line break or another control character (U+000D)
}
