package api

import (
	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// factsOfNewDeal says that a deal was made, and how it ended if it was made so.
func factsOfNewDeal(d store.Deal) []events.Fact {
	made := events.DealCreated{DealID: d.ID, ContactID: d.ContactID, Stage: d.Stage, Value: d.Value, Currency: d.Currency, Version: d.Version}
	return append([]events.Fact{made}, factsOfEnd(d)...)
}

// factsOfDeal says what is different about a deal, all in the version that the change came to. None:
// nothing is.
func factsOfDeal(was, is store.Deal) (facts []events.Fact) {
	if changed := changedOfDeal(was, is); len(changed) > 0 {
		facts = append(facts, events.DealUpdated{DealID: is.ID, ContactID: is.ContactID, Changed: changed, Version: is.Version})
	}
	if was.Stage != is.Stage {
		facts = append(facts, events.DealStageChanged{DealID: is.ID, ContactID: is.ContactID, From: was.Stage, To: is.Stage, Version: is.Version})
		facts = append(facts, factsOfEnd(is)...)
	}
	return facts
}

func factsOfEnd(d store.Deal) []events.Fact {
	switch d.Stage {
	case store.DealWon:
		return []events.Fact{events.DealWon{DealID: d.ID, ContactID: d.ContactID, Value: d.Value, Currency: d.Currency, Version: d.Version}}
	case store.DealLost:
		return []events.Fact{events.DealLost{DealID: d.ID, ContactID: d.ContactID, Value: d.Value, Currency: d.Currency, Version: d.Version}}
	}
	return nil
}

// changedOfDeal names the fields that are different, the stage aside, of which there is a fact of its own.
func changedOfDeal(was, is store.Deal) (changed []string) {
	note := func(name string, different bool) {
		if different {
			changed = append(changed, name)
		}
	}
	note("contact_id", was.ContactID != is.ContactID)
	note("title", was.Title != is.Title)
	note("value", was.Value != is.Value)
	note("probability", was.Probability != is.Probability)
	note("expected_close_date", !sameDay(was.ExpectedCloseDate, is.ExpectedCloseDate))
	note("lost_reason", !equal(was.LostReason, is.LostReason))
	return changed
}
