// Package api is HTTP in and server-sent events out. It states facts and never orders work: a request
// becomes rows and events in one transaction, and what runs because of them is decided elsewhere.
//
// The whole URL space is the table in routes.go; a resource is one file. What a client may read of a
// failure is an Error; everything else becomes "internal error" with a request id.
package api
