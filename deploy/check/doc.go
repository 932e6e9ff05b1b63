// Package check holds the tests of the files by which PayAid is deployed: each is read by the tool or the parser that
// will read it in earnest, and held against the product's own settings, queues and times. It is a module of its own, so
// that what reads those files is no dependency of the product.
package check
