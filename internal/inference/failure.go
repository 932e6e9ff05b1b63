package inference

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// failure is why one call gave no answer. Its detail follows the provider's
// name in a sentence, and is built from our own words alone: what a server
// says may quote the prompt.
type failure struct {
	class      string
	status     int
	detail     string
	retryAfter time.Duration
	// again says that the call was changed to suit the provider, and may be made
	// again at once.
	again bool
	// owners says that the owner has to mend it, whatever the client named.
	owners bool
	// plainJSON says that the server can't decode by the schema.
	plainJSON bool
	// once says that the same call may well succeed the second time.
	once bool
	// why is what is wrong with an answer, in words for the model alone: it may
	// quote the answer.
	why string
	// ended is the error of the caller's context.
	ended error
}

// known are phrases of servers that tell an operator what to do, and can't
// hold anything of a prompt.
var known = []string{
	"requires more system memory",
	"maximum pending requests exceeded",
	"runner has unexpectedly stopped",
	"runner process has terminated",
	"error was encountered while running the model",
	"does not support thinking",
	"does not support tools",
	"does not support chat",
	"exceeds the context length",
	"exceeds the available context size",
	"timed out waiting for llama runner to start",
	"invalid JSON schema in format",
	"invalid format",
	"unable to load model",
	"out of memory",
	"rate_limit_exceeded",
	"model_not_found",
	"model_decommissioned",
	"model_terms_required",
	"json_validate_failed",
	"capacity_exceeded",
	"context_length_exceeded",
	"invalid_api_key",
	"tool_use_failed",
	"request_too_large",
}

// phrase finds a known phrase in what a server said; "" if there is none.
func phrase(said string) string {
	for _, k := range known {
		if strings.Contains(said, k) {
			return k
		}
	}
	return ""
}

// answered is the detail of a failure that an HTTP status tells.
func answered(status int, said string) string {
	text := strings.TrimSpace(fmt.Sprintf("answered %d %s", status, http.StatusText(status)))
	if p := phrase(said); p != "" {
		text += " (" + p + ")"
	}
	return text
}

// unreachable is the failure of a call that got no answer at all.
func unreachable(err error) *failure {
	f := &failure{class: Unavailable, detail: "closed the connection before it answered"}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.detail = "refuses connections"
	case errors.As(err, &dns):
		f.detail = "has a host name that is not known"
	case errors.As(err, &op) && op.Op == "dial":
		f.detail = "can't be reached"
	}
	return f
}

// truncated is the failure of a stream that ended before it was done.
func truncated(status int) *failure {
	return &failure{class: Truncated, status: status, detail: "broke off its answer"}
}
