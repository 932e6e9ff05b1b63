// Package taxinvoice draws a GST tax invoice as a PDF.
//
// It knows what rules 46 and 49 of the CGST Rules, 2017 want such a document to say, and how to set it: text of
// India's scripts, Latin and Arabic, shaped by HarfBuzz's rules, in fonts of which the file holds what it uses.
// What a shaped word says stands beside it (ActualText, ISO 32000-1, 14.9.4), so that it can be searched and copied.
//
// The same invoice gives the same bytes.
package taxinvoice
