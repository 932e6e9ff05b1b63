// Package pghealth watches the indexes of a Postgres database, versions 15 to 18. Take writes the server's counters
// down, cheaply and often; Examine looks at the database as it is and at what was written down, and tells what is
// wrong with which index, why it thinks so, and the statements that mend it and take the mending back.
//
// Advice is only worth something where it can be trusted, so what can't be judged is left alone: an index counts as
// unused over a window of samples within which no counter began anew, and never when it has another purpose than
// being scanned. Nothing here reads a row of a table.
//
// The functions take a transaction of a role that may do what payaid_system may.
package pghealth
