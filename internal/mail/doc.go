// Package mail composes mail, submits it to the owner's SMTP server, and reads what comes back.
//
// A [Message] says what is to be sent, and [Message.Compose] gives its bytes: the whole mail in memory before
// anything is said to a server, as a body that breaks off half way is delivered by it as if it were whole. The same
// message gives the same bytes, so that every attempt sends the same mail under the same Message-ID, and a receiver
// that recognises duplicates can.
//
// What is composed passes any server unchanged: ASCII alone, no line over 76 characters except where a header has one
// thing that is longer (an address, an id, a URL, a media type), no space at the end of a line, and no line of a body
// that begins with a dot or with "From ". A signature over it (DKIM) verifies at the other end therefore.
//
// A [Pool] submits it, over a few connections that it keeps and hands from one mail to the next. What becomes of a mail
// is a [Receipt] or a [Refusal], whose [Class] says whether the channel, the recipient or the content is at fault. Only
// a connection that is lost between the end of a mail and the server's answer leaves that open.
package mail
