// Package edge holds the tests of what deploy/nginx has: a real nginx with these files stands before real processes of the
// API, and is asked as strangers would ask it.
package edge
