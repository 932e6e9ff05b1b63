package cli

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/payaid/payaid/operator"
)

// secretNames catches a variable that keeps a secret and was not marked as one.
var secretNames = regexp.MustCompile(`(^|_)(KEY|KEYS|PASS|PASSWORD|SECRET|TOKEN|HEADERS)($|_)`)

// shownSettings is what a command was started with, for operators to see. A secret's value is not in it.
func (a *app) shownSettings(flags []*kong.Flag) (list []operator.Setting) {
	for _, flag := range flags {
		if len(flag.Envs) == 0 {
			continue
		}
		s := operator.Setting{Name: flag.Envs[0], Help: flag.Help, Secret: flag.Tag.Has("secret") || secretNames.MatchString(flag.Envs[0])}
		value := fmt.Sprint(flag.Target.Interface())
		_, s.Set = a.lookup(s.Name)
		if s.Secret {
			s.Set = value != ""
		} else if value != "" {
			s.Set = s.Set || value != flag.Default
			value = withoutPasswords(value)
			s.Value = &value
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(x, y operator.Setting) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// withoutPasswords hides who signs in, and with what, in an address that has it.
func withoutPasswords(value string) string {
	parts := strings.Split(value, ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		switch {
		case err == nil && u.User != nil:
			u.User = nil
			parts[i] = strings.Replace(u.String(), "://", "://***@", 1)
		case err != nil && strings.Contains(part, "@"):
			parts[i] = "***"
		}
	}
	return strings.Join(parts, ",")
}
