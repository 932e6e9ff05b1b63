package api

import "strings"

// mailAddress reads one address as the recipients of mails have it.
func (s *Server) mailAddress(text string) (string, error) {
	if s.MailAddress == nil {
		return bareAddress(text)
	}
	return s.MailAddress(strings.TrimSpace(text))
}
