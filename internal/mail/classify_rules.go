package mail

import (
	"slices"
	"strings"
)

// rule says what a reply means; what it leaves empty it doesn't look at.
type rule struct {
	steps    []string
	codes    []int
	family   int      // 4 or 5: the first digit of the code
	status   []string // enhanced codes, without their first digit; "1." is all that begin so
	words    []string // in lower case, any of them in the reply
	stranger bool     // only before we have logged in
	class    Class
	suppress bool
}

var (
	beforeMail = []string{StepConnect, StepTLS, StepHello, StepAuth}
	atMail     = []string{StepMail}
	atRcpt     = []string{StepRcpt}
	beforeBody = []string{StepMail, StepRcpt, StepData}
)

// rules are looked through in order; the first that matches decides. Codes are of RFC 5321 (section 4.2.3) and
// RFC 4954, statuses of RFC 3463 and of IANA's registry for it.
//
// What is doubtful is put down to the channel rather than to the recipient, as mail that waits can still be
// sent, and what is doubtful between address and content to the content, as an address once suppressed gets
// nothing any more.
var rules = []rule{
	{steps: beforeMail, class: Channel},
	{codes: []int{421}, class: Channel}, // the server closes; RFC 5321, section 3.8

	// Nobody but us has been named so far.
	{steps: atMail, status: []string{"3.4"}, class: TooLarge},
	{steps: atMail, family: 5, codes: []int{552}, class: TooLarge}, // RFC 1870, section 6.1
	{steps: atMail, class: Channel},

	// Postfix says so of recipients like a@localhost; one tenant's typing errors must not stop everybody's mail.
	{steps: atRcpt, codes: []int{504}, words: []string{"recipient address rejected"}, class: Rejected},
	// Login, encryption, the order of commands and commands it doesn't know: ours to mend.
	{codes: []int{432, 454, 500, 502, 503, 504, 524, 525, 530, 534, 535, 538, 555}, class: Channel},
	{family: 5, status: []string{"7.8", "7.9", "7.11"}, class: Channel},
	{family: 5, status: []string{"3.2", "3.5"}, steps: beforeBody, class: Channel},
	{family: 5, status: []string{"5."}, steps: []string{StepData}, class: Channel},
	{status: []string{"3.1"}, class: Channel}, // no room for anybody's mail
	// Our own address. Postfix checks it when it hears the recipient's.
	{status: []string{"1.7", "1.8"}, class: Channel},
	{words: []string{"sender address rejected"}, class: Channel},
	// Who isn't let in at all.
	{family: 5, words: []string{"relay access denied", "relaying denied", "client host rejected"}, class: Channel},
	{steps: atRcpt, family: 5, status: []string{"7.0", "7.1"}, stranger: true, class: Channel},

	{family: 4, class: Deferred},

	{family: 5, status: []string{"3.4", "2.3"}, class: TooLarge},
	{family: 5, status: []string{"1."}, class: Rejected, suppress: true},
	// A mailbox that is full or closed may open again, and a domain's routes may be mended.
	{family: 5, status: []string{"2.", "4."}, class: Rejected},
	{family: 5, status: []string{"3.", "5.", "6.", "7."}, class: Blocked},

	// Without a status, the code has to do.
	{steps: atRcpt, codes: []int{501, 521, 550, 551, 552, 553, 556}, class: Rejected},
	{steps: []string{StepData, StepBody, StepDot}, codes: []int{552}, class: TooLarge},
	{family: 5, class: Blocked},
}

func (u rule) matches(r *Refusal, said string, authenticated bool) bool {
	return (u.steps == nil || slices.Contains(u.steps, r.Step)) &&
		(u.codes == nil || slices.Contains(u.codes, r.Code)) &&
		(u.family == 0 || u.family == r.Code/100) &&
		(u.status == nil || hasStatus(r.Enhanced, u.status)) &&
		(u.words == nil || slices.ContainsFunc(u.words, func(w string) bool { return strings.Contains(said, w) })) &&
		!(u.stranger && authenticated)
}

// hasStatus compares what follows the first digit.
func hasStatus(enhanced string, with []string) bool {
	_, rest, ok := strings.Cut(enhanced, ".")
	return ok && slices.ContainsFunc(with, func(s string) bool {
		return rest == s || strings.HasSuffix(s, ".") && strings.HasPrefix(rest, s)
	})
}
