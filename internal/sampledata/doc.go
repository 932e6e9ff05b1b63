// Package sampledata fills a database with the data of small businesses in India: contacts, deals, and invoices
// with their payments, over eighteen months. It is for trying the product out, for demonstrations, and for
// measuring with as many rows as somebody will have one day.
//
// Everything follows from the seed and the day, ids included, so that two runs make the same. People, companies
// and numbers are made up; e-mail addresses are below example.com, which belongs to nobody (RFC 2606). What
// can be checked is right: GSTINs have their checksum, goods and services the rate of their HSN or SAC on that
// day, invoices the sums of their lines, numbers no gaps.
//
// Rows are made while they are sent, so that a million needs no more memory than a hundred. No events are
// written: nothing happened.
package sampledata
