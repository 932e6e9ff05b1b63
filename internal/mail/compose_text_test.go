package mail

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                   "",
		"   \n ":                             "",
		"plain":                              "plain\n",
		"a\n  b\t c":                         "a b c\n",
		"<p>One\ntwo</p><p>three</p>":        "One two\n\nthree\n",
		"<p>One<br>two<br/><br />three":      "One\ntwo\n\nthree\n",
		"<b>bold</b><i>er</i> <u>x</u>":      "bolder x\n",
		"a<div>b<div>c</div></div>d":         "a\nb\nc\nd\n",
		"<h1>Invoice</h1>due\n<hr>thanks":    "Invoice\n\ndue\n\n----\n\nthanks\n",
		"<ul><li>one<li> two </ul>end":       "- one\n- two\n\nend\n",
		"&lt;b&gt; &amp; &#8377;42 &hellip;": "<b> & ₹42 …\n",
		"a&nbsp;&nbsp;b":                     "a\u00a0\u00a0b\n",
		"<pre>a\n  b\n\nc</pre>d":            "a\n  b\n\nc\n\nd\n",
		"<table><tr><td>GST</td><td> 18% </td></tr><tr><th>Sum<td>42</table>": "GST  18%\nSum  42\n",
		"<style>p > a { }</style><p>x<script>if (a < b) '</p>'</script >y":    "xy\n",
		"<head><title>T</title></head><body>x</body>":                         "x\n",
		"a<!-- <p>hidden</p> -->b<!doctype html><?xml?>c":                     "abc\n",
		"1 < 2 <3 and x <- y": "1 < 2 <3 and x <- y\n",
		`<a href="https://pay.example/?a=1&amp;b=2">Pay now</a>.`:             "Pay now (https://pay.example/?a=1&b=2).\n",
		`<A class=x HREF='https://pay.example'>https://pay.example</A>`:       "https://pay.example\n",
		`<a href=mailto:a@b.in>write</a> <a href="mailto:a@b.in">a@b.in</a>`:  "write (a@b.in) a@b.in\n",
		`<a href="#top">top</a> <a name=x>y</a> <a href="javascript:x">z</a>`: "top y z\n",
		`<a href="https://a.in"><img src=x alt="Our &quot;logo&quot;"></a>`:   "Our \"logo\" (https://a.in)\n",
		`<a title="x > y" href="https://a.in">z</a>`:                          "z (https://a.in)\n",
		`<img src="x">`:            "",
		"x<unclosed":               "x\n",
		"x<a href=\"unclosed>y":    "x\n",
		"x<script>never closed":    "x\n",
		"x<!-- never closed":       "x\n",
		"<p>आपका <b>चालान</b></p>": "आपका चालान\n",
	} {
		if got := textOf(in); got != want {
			t.Errorf("textOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzTextOf(f *testing.F) {
	for _, seed := range []string{"<p>x</p>", "<a href='https://a.in'>x</a>", "<pre>\r\n<", "<style>", "<!--", "</", "<x y=\"", "&#0;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := textOf(in)
		if utf8.ValidString(in) && !utf8.ValidString(got) {
			t.Fatalf("textOf(%q) = %q, which isn't UTF-8", in, got)
		}
		if got != "" && !strings.HasSuffix(got, "\n") {
			t.Fatalf("textOf(%q) = %q, without an end of its last line", in, got)
		}
	})
}
