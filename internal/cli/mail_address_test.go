package cli

import "testing"

func TestMailAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Asha@Example.IN": "Asha@example.in", "a@bücher.example": "a@xn--bcher-kva.example", "Asha <a@example.in>": "", "nobody": "", "a@b@example.in": "",
		"a@example.in\r\nBcc: b@example.in": "",
	} {
		if got, err := mailAddress(text); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
