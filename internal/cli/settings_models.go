package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

// keepAlive reads "30m", "mistral:7b=-1,llama2:13b=10m", or both kinds at once. Negative is for ever.
func (p *problems) keepAlive(name, value string) (plain time.Duration, own map[string]time.Duration) {
	own = make(map[string]time.Duration)
	for part := range strings.SplitSeq(value, ",") {
		model, text, single := strings.Cut(strings.TrimSpace(part), "=")
		if !single {
			model, text = "", model
		}
		d, err := time.ParseDuration(text)
		if n, numErr := strconv.Atoi(text); numErr == nil {
			d, err = time.Duration(n)*time.Second, nil
		}
		switch _, twice := own[model]; {
		case err != nil || d == 0 || single && model == "":
			p.add(name, "want a time such as 30m, -1 for ever, or MODEL=TIME, by commas; got %q", part)
		case twice || !single && plain != 0:
			p.add(name, "%q is given twice", part)
		case single:
			own[model] = d
		default:
			plain = d
		}
	}
	return plain, own
}

// tiers reads "fast,large", or "none".
func (p *problems) tiers(name, value string) []inference.Tier {
	list := []inference.Tier{}
	if value == "none" {
		return list
	}
	for part := range strings.SplitSeq(value, ",") {
		tier := inference.Tier(strings.TrimSpace(part))
		if tier != inference.Fast && tier != inference.Large || slices.Contains(list, tier) {
			p.add(name, "want fast, large, both by a comma, or none; got %q", value)
			break
		}
		list = append(list, tier)
	}
	return list
}
