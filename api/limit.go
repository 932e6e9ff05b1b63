package api

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/ratelimit"
)

// limit counts a request, and refuses it when it is one too many. A key counts for itself wherever it is
// used from; who has none, or one that doesn't open, counts by address.
func (s *Server) limit(x *exchange) error {
	if s.Limiter == nil {
		return nil
	}
	client, most := limitedAddress(x.from), s.RateLimit
	if x.caller.KeyID != "" {
		client = "key:" + x.caller.KeyID
		if x.caller.rateLimit > 0 {
			most = x.caller.rateLimit
		}
	}
	r := s.Limiter.Take(x.request.Context(), client, most)
	s.limitHeaders(x, r)
	if r.Allowed {
		return nil
	}
	return refuse("rate_limited", "more than "+strconv.Itoa(r.Limit)+" requests in "+written(s.Limiter.Window().Seconds())+" s").
		with("Retry-After", strconv.FormatInt(max(1, seconds(r.RetryAfter)), 10))
}

// limitedAddress names who asks without a key. Whoever has one IPv6 address has the 2^64 beside it.
func limitedAddress(ip netip.Addr) string {
	if ip.Is6() {
		if block, err := ip.Prefix(64); err == nil {
			return "ip:" + block.String()
		}
	}
	return "ip:" + ip.String()
}

// limitHeaders tells a client what it has left: in the customary headers, and in those of
// draft-ietf-httpapi-ratelimit-headers-11. No time that is named is too early.
func (s *Server) limitHeaders(x *exchange, r ratelimit.Result) {
	more := r.Reset
	if !r.Allowed {
		more = r.RetryAfter
	}
	most, left := strconv.Itoa(r.Limit), strconv.Itoa(r.Remaining)
	h := x.Header()
	h["X-Ratelimit-Limit"] = []string{most}
	h["X-Ratelimit-Remaining"] = []string{left}
	h["X-Ratelimit-Reset"] = []string{strconv.FormatInt(seconds(time.Duration(time.Now().UnixNano())+r.Reset), 10)}
	h["Ratelimit-Policy"] = []string{`"default";q=` + most + ";w=" + strconv.FormatInt(seconds(s.Limiter.Window()), 10)}
	h["Ratelimit"] = []string{`"default";r=` + left + ";t=" + strconv.FormatInt(seconds(more), 10)}
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

var limitHeaderDocs = map[string]*huma.Param{
	"X-RateLimit-Limit":     {Description: "Requests that the client may make in a window.", Schema: &huma.Schema{Type: huma.TypeInteger}},
	"X-RateLimit-Remaining": {Description: "Requests that it may still make now.", Schema: &huma.Schema{Type: huma.TypeInteger}},
	"X-RateLimit-Reset": {Description: "When the oldest request that counts leaves the window, in seconds since 1970.",
		Schema: &huma.Schema{Type: huma.TypeInteger}},
	"RateLimit-Policy": {Description: `Limit and window in seconds, such as "default";q=100;w=60.`, Schema: &huma.Schema{Type: huma.TypeString}},
	"RateLimit":        {Description: `What is left, and seconds until there is more, such as "default";r=57;t=12.`, Schema: &huma.Schema{Type: huma.TypeString}},
	"Retry-After":      {Description: "Seconds until a request is let through again.", Schema: &huma.Schema{Type: huma.TypeInteger}},
}

// documentLimits adds to the document what limited routes answer besides. The headers are there unless
// limits are switched off.
func (s *Server) documentLimits(api huma.API, routes []route) {
	s.openAPI.Components.Headers = limitHeaderDocs
	for _, rt := range routes {
		if rt.free {
			continue
		}
		op := operationOf(s.openAPI.Paths[rt.path], rt.method)
		tooMany := problemResponse(api)
		tooMany.Description = "Too many requests; Retry-After says when the next is let through"
		op.Responses["429"] = tooMany
		for status, response := range op.Responses {
			if response.Headers == nil {
				response.Headers = make(map[string]*huma.Param, len(limitHeaderDocs))
			}
			for name := range limitHeaderDocs {
				if name != "Retry-After" || status == "429" {
					response.Headers[name] = &huma.Param{Ref: "#/components/headers/" + name}
				}
			}
		}
	}
}

func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case "GET":
		return item.Get
	case "POST":
		return item.Post
	case "PATCH":
		return item.Patch
	case "PUT":
		return item.Put
	}
	return item.Delete
}
