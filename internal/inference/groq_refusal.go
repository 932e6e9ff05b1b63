package inference

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// groqError is the body of a refusal. Its fields may quote the prompt.
type groqError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    string `json:"code"`
}

// UnmarshalJSON takes an error that is a bare text as well, and a code of any
// type.
func (e *groqError) UnmarshalJSON(raw []byte) error {
	var body struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    any    `json:"code"`
	}
	if json.Unmarshal(raw, &body) != nil {
		e.Message = string(raw)
		return nil
	}
	e.Message, e.Type = body.Message, body.Type
	e.Code, _ = body.Code.(string)
	return nil
}

type groqRefusal struct {
	failure *failure
	status  int
	said    string
}

func (r groqRefusal) mentions(words ...string) bool {
	for _, w := range words {
		if strings.Contains(r.said, w) {
			return true
		}
	}
	return false
}

// refusal reads a response that is not 200.
func refusal(res *http.Response) groqRefusal {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what came before a cut is enough
	var body struct {
		Error groqError `json:"error"`
	}
	if json.Unmarshal(raw, &body) != nil {
		body.Error = groqError{Message: string(raw)}
	}
	r := groqRefusal{status: res.StatusCode, said: body.Error.Code + " " + body.Error.Message}
	r.failure = &failure{
		class:  groqClass(res.StatusCode, r),
		status: res.StatusCode,
		detail: answered(res.StatusCode, r.said),
	}
	// These are the model's doing rather than the client's.
	r.failure.once = r.status == http.StatusUnprocessableEntity || r.failure.class == SchemaInvalid
	switch r.failure.class {
	case Overloaded:
		r.failure.retryAfter = retryAfter(res.Header, time.Now())
		r.failure.detail = "is rate limited or busy (" + strconv.Itoa(res.StatusCode) + ")"
	case Auth:
		r.failure.detail = "refuses the key (" + strconv.Itoa(res.StatusCode) + "); check GROQ_API_KEY_FALLBACK"
	case Misconfigured:
		r.failure.detail = "doesn't have the model (" + strconv.Itoa(res.StatusCode) + "); check GROQ_MODEL, GROQ_MODEL_LARGE and GROQ_BASE_URL"
	}
	return r
}

func groqClass(status int, r groqRefusal) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Auth
	case status < 400, status == http.StatusNotFound, r.mentions("model_decommissioned", "model_not_found"):
		return Misconfigured
	case status == http.StatusRequestTimeout:
		return Timeout
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == 498:
		return Overloaded
	case status == http.StatusRequestEntityTooLarge, status == http.StatusBadRequest && tooLong(r.said):
		return TooLarge
	case r.mentions("json_validate_failed"):
		return SchemaInvalid
	case status == http.StatusFailedDependency, status == 499, status >= 500:
		return Server
	}
	return Request
}

// retryAfter reads how long a server asks to wait (RFC 9110, section 10.2.3,
// and fractions of a second, which Groq sends), or else when the limit that is
// used up is reset. 0 means that it doesn't say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	limit := readLimit(h)
	switch {
	case limit == nil:
		return 0
	case limit.RequestsLeft == 0 && limit.RequestsReset > 0:
		return limit.RequestsReset
	case limit.TokensLeft == 0:
		return limit.TokensReset
	}
	return 0
}

// readLimit reads Groq's report of what is left; nil if there is none.
func readLimit(h http.Header) *RateLimit {
	if h.Get("X-Ratelimit-Limit-Requests") == "" && h.Get("X-Ratelimit-Limit-Tokens") == "" {
		return nil
	}
	number := func(name string) int {
		n, err := strconv.Atoi(h.Get(name))
		if err != nil {
			return -1
		}
		return n
	}
	span := func(name string) time.Duration {
		d, err := time.ParseDuration(h.Get(name))
		if err != nil {
			return 0
		}
		return max(0, d)
	}
	return &RateLimit{
		Requests:      number("X-Ratelimit-Limit-Requests"),
		RequestsLeft:  number("X-Ratelimit-Remaining-Requests"),
		Tokens:        number("X-Ratelimit-Limit-Tokens"),
		TokensLeft:    number("X-Ratelimit-Remaining-Tokens"),
		RequestsReset: span("X-Ratelimit-Reset-Requests"),
		TokensReset:   span("X-Ratelimit-Reset-Tokens"),
		At:            time.Now(),
	}
}
