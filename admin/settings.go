package admin

import (
	"net/http"

	"github.com/payaid/payaid/operator"
)

// A settingsPage is what the installation runs with, what was set first.
type settingsPage struct {
	operator.InstallationSettings
	Set, Unset []operator.Setting
}

// settings shows what one can choose here, and what the process was started with.
func (p *Pages) settings(r *request) error {
	var data settingsPage
	if err := r.client.Get(r.Context(), "/api/admin/settings", nil, &data.InstallationSettings); err != nil {
		return err
	}
	for _, s := range data.Data {
		if s.Set {
			data.Set = append(data.Set, s)
		} else {
			data.Unset = append(data.Unset, s)
		}
	}
	return r.render(http.StatusOK, "settings", "Settings", data)
}

// saveSettings keeps what was chosen, in cookies of the browser.
func (p *Pages) saveSettings(r *request) error {
	r.saveChoices()
	said := ""
	if !r.PostForm.Has("back") {
		said = "Kept in this browser."
	}
	return r.back("/admin/settings", said)
}
