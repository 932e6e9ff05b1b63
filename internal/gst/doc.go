// Package gst is the arithmetic and the vocabulary of India's Goods and Services Tax: states, identification
// numbers, rates, the tax of a line, financial years. It is rules alone, of the standard library alone, so
// that everything which must agree about them can ask here.
//
// Its errors are fit to be read by a client: they say what is wrong with the value and name the value's own
// words, never the inside of the program.
package gst
