package api

import (
	"encoding/json"
	"fmt"

	"github.com/payaid/payaid/internal/store"
)

// settings is how an organization wants things. Stored are only values that somebody chose.
type settings struct {
	AI        aiSettings       `json:"ai"`
	Reminders reminderSettings `json:"reminders"`
}

type aiSettings struct {
	LocalOnly     bool   `json:"local_only" doc:"Never ask the fallback provider: the data stays in the house"`
	MonthlyBudget *int64 `json:"monthly_budget" doc:"What jobs may spend at the fallback provider in a month of the organization's calendar, in paise; null: no limit; 0: nothing. When it is used up, jobs wait for the model in the house"`
	Mode          string `json:"mode" enum:"interactive,relaxed"`
}

type reminderSettings struct {
	Enabled bool `json:"enabled" doc:"Mail customers 3, 7, 14 and 30 days after the due date of an overdue invoice, from ten in the morning where the organization is"`
}

func defaultSettings() settings { return settings{AI: aiSettings{Mode: "interactive"}} }

func parseSettings(stored json.RawMessage) (settings, error) {
	set := defaultSettings()
	if err := json.Unmarshal(stored, &set); err != nil {
		return set, fmt.Errorf("read the settings of an organization: %w", err)
	}
	return set, nil
}

type settingsPatch struct {
	AI        optional[aiPatch]       `json:"ai,omitzero"`
	Reminders optional[reminderPatch] `json:"reminders,omitzero"`
}

type aiPatch struct {
	LocalOnly     optional[bool]   `json:"local_only,omitzero" nullable:"true"`
	MonthlyBudget optional[int64]  `json:"monthly_budget,omitzero" nullable:"true" minimum:"0" maximum:"9007199254740991"`
	Mode          optional[string] `json:"mode,omitzero" nullable:"true" enum:"interactive,relaxed"`
}

type reminderPatch struct {
	Enabled optional[bool] `json:"enabled,omitzero" nullable:"true"`
}

// apply merges the patch into the organization's settings; null gives a setting its default back.
func (p settingsPatch) apply(o *store.Organization, all bool) (changed bool, err error) {
	set, err := parseSettings(o.Settings)
	if err != nil {
		return false, err
	}
	before, defaults := set, defaultSettings()
	if all || p.AI.null {
		set.AI = defaults.AI
	}
	if all || p.Reminders.null {
		set.Reminders = defaults.Reminders
	}
	ai := p.AI.value
	ai.LocalOnly.into(&set.AI.LocalOnly, defaults.AI.LocalOnly)
	ai.Mode.into(&set.AI.Mode, defaults.AI.Mode)
	if ai.MonthlyBudget.set {
		set.AI.MonthlyBudget = ai.MonthlyBudget.pointer()
	}
	p.Reminders.value.Enabled.into(&set.Reminders.Enabled, defaults.Reminders.Enabled)
	if equal(before.AI.MonthlyBudget, set.AI.MonthlyBudget) {
		before.AI.MonthlyBudget = set.AI.MonthlyBudget
	}
	if before == set {
		return false, nil
	}
	o.Settings, err = json.Marshal(set)
	return true, err
}
