package cli

import (
	"errors"

	"github.com/payaid/payaid/internal/mail"
)

// mailAddress reads one bare address as mails have it, for the API, which knows nothing of mail servers.
func mailAddress(text string) (string, error) {
	a, err := mail.ParseAddress(text)
	if err == nil && a.Name != "" {
		err = errors.New("has a name beside the address")
	}
	return a.Address, err
}
