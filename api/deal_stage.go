package api

import (
	"fmt"
	"strings"

	"github.com/payaid/payaid/internal/store"
)

// dealProbability is how likely a deal of a stage is won, per cent, where nobody says otherwise.
var dealProbability = map[string]int{
	store.DealLead: 10, store.DealQualified: 25, store.DealProposal: 50, store.DealNegotiation: 75,
	store.DealWon: 100, store.DealLost: 0,
}

func isClosed(stage string) bool { return stage == store.DealWon || stage == store.DealLost }

// nextStages lists where a deal can go. Open deals go anywhere, a lost one may be taken up again, and what
// is won stays won.
func nextStages(from string) []string {
	if from == store.DealWon {
		return nil
	}
	var next []string
	for _, to := range []string{store.DealLead, store.DealQualified, store.DealProposal, store.DealNegotiation, store.DealWon, store.DealLost} {
		if to != from && !(from == store.DealLost && to == store.DealWon) {
			next = append(next, to)
		}
	}
	return next
}

// refuseTransition says where a thing can't go, and where it can.
func refuseTransition(what, from, to string, allowed []string) error {
	where := "nowhere else"
	if len(allowed) > 0 {
		where = "to " + strings.Join(allowed, ", ")
	}
	return refuse("invalid_transition", fmt.Sprintf("%s does not go from %s to %s; from %s it goes %s", what, from, to, from, where))
}

// checkDeal finds what a deal of its stage can't have.
func checkDeal(d store.Deal) (faults []Fault) {
	if _, err := line(d.Title); err != nil {
		faults = append(faults, Fault{"/title", err.Error()})
	}
	if isClosed(d.Stage) && d.Probability != dealProbability[d.Stage] {
		faults = append(faults, Fault{"/probability", fmt.Sprintf("is %d when the stage is %s", dealProbability[d.Stage], d.Stage)})
	}
	if d.LostReason != nil && d.Stage != store.DealLost {
		faults = append(faults, Fault{"/lost_reason", "goes with the stage lost alone"})
	}
	if d.LostReason != nil && blank(*d.LostReason) {
		faults = append(faults, Fault{"/lost_reason", "must not be blank"})
	}
	return faults
}
