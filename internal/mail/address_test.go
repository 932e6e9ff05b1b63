package mail

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"

	message "github.com/emersion/go-message/mail"
	"pgregory.net/rapid"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", 64) + "@" + strings.Repeat(strings.Repeat("d", 46)+".", 4) + "e"
	for in, want := range map[string]mail.Address{
		"asha@example.in":                           {Address: "asha@example.in"},
		"  asha@example.in ":                        {Address: "asha@example.in"},
		"<asha@example.in>":                         {Address: "asha@example.in"},
		"Asha <asha@example.in>":                    {Name: "Asha", Address: "asha@example.in"},
		"Asha  Rao<asha@example.in>":                {Name: "Asha Rao", Address: "asha@example.in"},
		"Rao, Asha (Pune) <asha@example.in>":        {Name: "Rao, Asha (Pune)", Address: "asha@example.in"},
		`"Rao \"the\" <b@c.d> \\" <asha@e.in>`:      {Name: `Rao "the" <b@c.d> \`, Address: "asha@e.in"},
		"आशा राव <asha@example.in>":                 {Name: "आशा राव", Address: "asha@example.in"},
		"=?utf-8?q?R=C3=A3o?= <asha@e.in>":          {Name: "Rão", Address: "asha@e.in"},
		`"=?utf-8?q?R=C3=A3o?=" <asha@e.in>`:        {Name: "=?utf-8?q?R=C3=A3o?=", Address: "asha@e.in"},
		"Asha.Rao@Example.IN":                       {Address: "Asha.Rao@example.in"},
		"asha@उदाहरण.भारत":                          {Address: "asha@xn--p1b6ci4b4b3a.xn--h2brj9c"},
		"asha@BÜCHER.example":                       {Address: "asha@xn--bcher-kva.example"},
		"asha@bu\u0308cher.example":                 {Address: "asha@xn--bcher-kva.example"},
		"asha@例え。テスト":                               {Address: "asha@xn--r8jz45g.xn--zckzah"},
		"asha@ｅｘａｍｐｌｅ．in":                           {Address: "asha@example.in"},
		"o'brien+tag@a-b.co.uk":                     {Address: "o'brien+tag@a-b.co.uk"},
		"root@localhost":                            {Address: "root@localhost"},
		`"asha"@example.in`:                         {Address: "asha@example.in"},
		`"a..b"@example.in`:                         {Address: `"a..b"@example.in`},
		`"a,b"@example.in`:                          {Address: `"a,b"@example.in`},
		"a@" + strings.Repeat("d", 63) + ".in":      {Address: "a@" + strings.Repeat("d", 63) + ".in"},
		strings.Repeat("l", 64) + "@example.in":     {Address: strings.Repeat("l", 64) + "@example.in"},
		long:                                        {Address: long},
		strings.Repeat("न", 255) + " <a@b.example>": {Name: strings.Repeat("न", 255), Address: "a@b.example"},
	} {
		got, err := ParseAddress(in)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	t.Parallel()
	for in, why := range map[string]string{
		"":                                     "has no @",
		"asha":                                 "has no @",
		"@example.in":                          "has nothing before the @",
		`""@example.in`:                        "before the @",
		"asha@":                                "nothing between two dots, or at an end",
		"asha@example":                         "without a dot",
		"asha@example.in.":                     "nothing between two dots, or at an end",
		"asha@.in":                             "nothing between two dots, or at an end",
		"asha@a..in":                           "nothing between two dots",
		"asha@-a.in":                           "hyphen",
		"asha@a_b.in":                          `'_' in its domain`,
		"asha@127.0.0.1":                       "IP address",
		"asha@[127.0.0.1]":                     `'[' in its domain`,
		"asha@exa mple.in":                     `' ' in its domain`,
		"asha@a\u200db.in":                     "U+200D",
		"asha@\u0301a.in":                      "U+0301",
		"asha@😀.in":                            "U+1F600",
		"asha@ex／ample.in":                     `'/' in its domain`,
		"आशा@example.in":                       "isn't ASCII before the @",
		"as ha@example.in":                     `' ' before the @`,
		`"as ha"@example.in`:                   `' ' before the @`,
		"a@b@example.in":                       `'@' before the @`,
		`"a\"b"@example.in`:                    "before the @",
		".asha@example.in":                     "can't stand there",
		"asha.@example.in":                     "can't stand there",
		"as..ha@example.in":                    "can't stand there",
		"a,b@example.in":                       "can't stand there",
		"a@b.in, c@d.in":                       "before the @",
		"a@b.in, C <c@d.in>":                   "one address in each place",
		"Group: a@b.in;":                       "before the @",
		"a@b.in (Asha)":                        "in its domain",
		"a@b.in>":                              "> without a <",
		"Asha <a@b.in":                         "before the @",
		"<Asha> <a@b.in>":                      "one address in each place",
		`"Asha <a@b.in>`:                       "quote",
		`"Asha" Rao <a@b.in>`:                  "quote",
		`Asha "K" Rao <a@b.in>`:                "quote",
		"Asha <a@b.in> NOTIFY=NEVER>":          "'>' in its domain",
		"a@b.in> NOTIFY=NEVER":                 "'>' in its domain",
		"a@b.in\r\nRCPT TO:<c@d.in>":           "line break or another control character (U+000D)",
		"Asha\nBcc: c@d.in <a@b.in>":           "line break or another control character (U+000A)",
		"Asha\x00 <a@b.in>":                    "U+0000",
		"Asha\u2028 <a@b.in>":                  "U+2028",
		"=?utf-8?q?A=0D=0AB?= <a@b.in>":        "a name that has a line break",
		"\xff <a@b.in>":                        "isn't valid UTF-8",
		"a@b\xff.in":                           "isn't valid UTF-8",
		strings.Repeat("l", 65) + "@b.in":      "more than 64 characters before the @",
		"a@" + strings.Repeat("d", 64) + ".in": "more than 63 characters",
		"a@" + strings.Repeat("न", 60) + ".in": "more than 63 characters",
		strings.Repeat("l", 64) + "@" + strings.Repeat(strings.Repeat("d", 46)+".", 4) + "ee": "longer than 254",
		strings.Repeat("न", 256) + " <a@b.example>":                                           "more than 255 characters",
		strings.Repeat("x", 1<<20) + "@b.in":                                                  "longer than 254",
	} {
		got, err := ParseAddress(in)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseAddress(%.60q) = %+v, %v, want that it says %q", in, got, err, why)
		}
	}
}

// checkSafe holds what was accepted to the promises of ParseAddress.
func checkSafe(t interface {
	Helper()
	Fatalf(string, ...any)
}, in string, a mail.Address) {
	t.Helper()
	for _, c := range []byte(a.Address) {
		if c <= ' ' || c > '~' || c == '<' || c == '>' {
			t.Fatalf("%q was accepted as %q, which has %q", in, a.Address, c)
		}
	}
	if len(a.Address) > maxAddress || strings.Count(a.Address, "@") != 1 {
		t.Fatalf("%q was accepted as %q", in, a.Address)
	}
	if again, err := ParseAddress(a.Address); err != nil || again.Address != a.Address {
		t.Fatalf("%q was accepted as %q, and that as %q, %v", in, a.Address, again.Address, err)
	}
	m := plain(func(m *Message) { m.From, m.To, m.Cc = a, []mail.Address{a, a}, []mail.Address{a} })
	b, err := m.Compose()
	if err != nil {
		t.Fatalf("compose to %+v: %v", a, err)
	}
	r, err := message.CreateReader(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("read what was composed to %+v: %v", a, err)
	}
	for field, n := range map[string]int{"From": 1, "To": 2, "Cc": 1} {
		list, err := r.Header.AddressList(field)
		if err != nil || len(list) != n {
			t.Fatalf("%+v came back as %v, %v in %s", a, list, err, field)
		}
		for _, got := range list {
			// The library takes the quotes off a local part, and puts them on again.
			back, err := ParseAddress((&mail.Address{Address: got.Address}).String())
			if err != nil || back.Address != a.Address || got.Name != a.Name {
				t.Fatalf("%+v came back as %+v (%+v, %v) in %s", a, *got, back, err, field)
			}
		}
	}
}

// TestAddressesSurvive makes addresses of what is dangerous in them and around them.
func TestAddressesSurvive(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"a", "Z", "9", ".", "-", "_", "+", "'", "@", `"`, `\`, "<", ">", " ", ",", ";", ":",
		"(", ")", "[", "]", "%", "!", "=?", "?=", "=?utf-8?q?", "=0D", "\r", "\n", "\x00", "\t", "\x7f", "\u0085", "é", "ß",
		"न", "्", "\u200d", "。", "．", "＠", "😀", "\u202e", "xn--", "localhost", "example.in", "\xff"})
	text := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "") })
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		local, domain, display := text.Draw(t, "local"), text.Draw(t, "domain"), text.Draw(t, "display")
		for _, in := range []string{
			local + "@" + domain, display + " <" + local + "@" + domain + ">", `"` + display + `" <` + local + "@example.in>",
			display + " <x@" + domain + ">", local + "@example.in", "x@" + domain + ".in", display + "<x@example.in>",
		} {
			if a, err := ParseAddress(in); err == nil {
				accepted++
				checkSafe(t, in, a)
			}
		}
	})
	if accepted < 50 {
		t.Errorf("%d addresses were accepted, which shows little", accepted)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"asha@example.in", `"Rao, \"A\"" <asha@उदाहरण.भारत>`, `"a..b"@localhost`,
		"=?utf-8?q?=C3=A9?= <a@b.in>", "a@b.in> NOTIFY=NEVER", "a\r\n@b.in", "A <b@ｃ．in>", "<@x,@y:a@b.in>", "G: a@b.in;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if a, err := ParseAddress(in); err == nil {
			checkSafe(t, in, a)
		}
	})
}

// TestPunycode has the samples of RFC 3492, section 7.1, that are lower-case.
func TestPunycode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\u0644\u064a\u0647\u0645\u0627\u0628\u062a\u0643\u0644\u0645\u0648\u0634\u0639\u0631\u0628\u064a\u061f": "egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":              "ihqwcrb4cv8a8dqg056pqjye",
		"למההםפשוטלאמדבריםעברית": "4dbcagdahymbxekheh6e0a7fei0b",
		"यहलोगहिन्दीक्योंनहींबोलसकतेहैं": "i1baa7eci9glrd9b2ae1bj0hfcgg6iyaf8o0a1dig0cd",
		"なぜみんな日本語を話してくれないのか":             "n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa",
		"почемужеонинеговорятпорусски":   "b1abfaaepdrnnbgefbadotcwatmq2g4l",
		"3年b組金八先生":                  "3b-ww4c5e180e575a65lsy2b",
		"安室奈美恵-with-super-monkeys":  "-with-super-monkeys-pc58ag80a8qai00g7n9n",
		"hello-another-way-それぞれの場所": "hello-another-way--fc4qua05auwb3674vfr0b",
		"ひとつ屋根の下2":                  "2-u9tlzr9756bt3uc0v",
		"majiでkoiする5秒前":             "majikoi5-783gue6qz075azm5e",
		"パフィーdeルンバ":                 "de-jg4avhby1noc0d",
		"そのスピードで":                   "d9juau41awczczp",
	} {
		if got := punycode(in); got != want {
			t.Errorf("punycode(%q) = %q, want %q", in, got, want)
		}
	}
}
