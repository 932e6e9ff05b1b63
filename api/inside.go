package api

import (
	"bytes"
	"io"
	"net/http"
)

// Inside asks this server as an operator, without a connection. Answers are kept in memory whole.
func (s *Server) Inside(o Operator) *http.Client {
	return &http.Client{Transport: inside{s.Handler(), o}}
}

// inside carries requests to a handler of the same process, without a connection.
type inside struct {
	handler http.Handler
	who     Operator
}

// RoundTrip implements http.RoundTripper.
func (t inside) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := t.who.Ask(r)
	answer := &kept{header: http.Header{}}
	t.handler.ServeHTTP(answer, asked)
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(answer.status), StatusCode: answer.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.header, Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// Ask is a request as the operator's, for the handler of this process.
func (o Operator) Ask(r *http.Request) *http.Request {
	asked := r.Clone(As(r.Context(), o))
	asked.RequestURI = r.URL.RequestURI()
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	return asked
}

// kept is an answer in memory.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader implements http.ResponseWriter.
func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

// Write implements http.ResponseWriter.
func (k *kept) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(b)
}
