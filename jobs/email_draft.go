package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// draftEmailArgs are River's arguments of ai.email_draft.
type draftEmailArgs struct{ Request }

// Kind implements river.JobArgs.
func (draftEmailArgs) Kind() string { return "ai.email_draft" }

// emailWanted is the input of ai.email_draft.
type emailWanted struct {
	aboutContact
	Purpose string `json:"purpose"`
	letterWish
}

const maxPurpose = 1000 // characters

func (in emailWanted) faults() []Fault {
	faults := in.aboutContact.faults()
	switch n := utf8.RuneCountInString(in.Purpose); {
	case strings.TrimSpace(in.Purpose) == "":
		faults = append(faults, Fault{Pointer: "/purpose", Detail: "is required"})
	case n > maxPurpose:
		faults = append(faults, Fault{Pointer: "/purpose", Detail: fmt.Sprintf("must have at most %d characters", maxPurpose)})
	}
	return append(faults, in.wishFaults()...)
}

var draftOfEmail = inquiry[emailWanted, store.ContactFacts, letter]{
	template: readTemplate("email_draft.v1"),
	summary:  "Drafts an email to a contact for a purpose, for somebody to read before it is sent; nothing is sent.",
	rulesSay: "a plain draft in English or Hindi; one in another language waits for a model.",
	madeFrom: "the contact, one of its deals or invoices, or the organization",
	document: letterDocument,
	properties: contactProperty + `,
		"purpose":{"type":"string","minLength":1,"maxLength":1000,"description":"what the email is to be about. Without a model, rules write what asks for thanks, a talk or a payment and for nothing else; for all other purposes they leave a marked place for a person to write"},` + wishProperties,
	required: `"contact_id","purpose"`,
	read: func(ctx context.Context, db *store.DB, organizationID string, in emailWanted, now time.Time) (store.ContactFacts, error) {
		return readContact(ctx, db, organizationID, in.aboutContact, now)
	},
	view: func(in emailWanted, f store.ContactFacts, now time.Time) any { return viewEmail(in, f, now) },
	tags: func(in emailWanted, f store.ContactFacts) []string {
		return append(tagsOfContact(in.aboutContact, f), cachetag.Org)
	},
	ruled: func(in emailWanted) bool { return in.letterWish.ruled() },
	rules: func(in emailWanted, f store.ContactFacts, _ time.Time) letter { return writeEmail(in, f) },
}

// draftEmail writes an email to a contact, for somebody to read before it is sent.
type draftEmail struct{ asker }

// Run implements Work.
func (w draftEmail) Run(ctx context.Context, _ draftEmailArgs, t *Task) (Result, error) {
	return draftOfEmail.run(ctx, w.asker, t)
}

// emailView is what a model gets to see of an email that is wanted.
type emailView struct {
	Request emailRequestView `json:"request"`
	Sender  string           `json:"sender"`
	Contact contactView      `json:"contact"`
}

type emailRequestView struct {
	Purpose  string `json:"purpose"`
	Tone     string `json:"tone,omitempty"`
	Language string `json:"language,omitempty"`
}

func viewEmail(in emailWanted, f store.ContactFacts, now time.Time) emailView {
	return emailView{
		Request: emailRequestView{Purpose: in.Purpose, Tone: in.Tone, Language: in.Language},
		Sender:  clip(f.OrganizationName, viewShort),
		Contact: viewContact(f, now),
	}
}
