package cli

import (
	"reflect"
	"slices"
	"strings"
)

// environment looks for variables that were meant for us and that nothing here reads. It never shows a value.
func (d *doctor) environment(environ []string) {
	ours := settingNames(reflect.TypeFor[commands]())
	names := make([]string, 0, len(environ))
	for _, one := range environ {
		name, _, _ := strings.Cut(one, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	strays := 0
	for _, name := range names {
		if meant := meantBy(name, ours); meant != "" && !slices.Contains(names, meant) {
			strays++
			d.say(uneasy, "variable "+name, "rename it to "+meant+", or remove it", "nothing here reads it; %s is meant?", meant)
		}
	}
	if strays == 0 {
		d.say(fine, "environment", "", "no variable with a name that is nearly one of ours")
	}
}

// settingNames are the variables that any command reads.
func settingNames(t reflect.Type) map[string]bool {
	names := make(map[string]bool)
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("env"); name != "" {
			names[name] = true
			if _, secret := f.Tag.Lookup("secret"); secret {
				names[name+"_FILE"] = true
			}
		}
		if f.Type.Kind() == reflect.Struct {
			for name := range settingNames(f.Type) {
				names[name] = true
			}
		}
	}
	return names
}

// otherNames are what others call our settings.
var otherNames = map[string]string{
	"SMTP_PASSWORD": "SMTP_PASS", "SMTP_USERNAME": "SMTP_USER", "SMTP_SERVER": "SMTP_HOST", "SMTP_SENDER": "SMTP_FROM",
	"SMTP_TLS": "SMTP_SECURE", "SMTP_SSL": "SMTP_SECURE", "POSTGRES_URL": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL",
	"OLLAMA_BASE_URL": "OLLAMA_URL", "GROQ_API_KEY": "GROQ_API_KEY_FALLBACK", "RATE_LIMIT_ENABLED": "RATELIMIT_ENABLED",
	"RATE_LIMIT_REQUESTS": "RATELIMIT_REQUESTS", "RATE_LIMIT_WINDOW": "RATELIMIT_WINDOW", "BACKUP_PATH": "BACKUP_DIR",
	"BACKUP_CRON": "BACKUP_SCHEDULE", "BACKUP_AGE_RECIPIENTS": "BACKUP_AGE_RECIPIENT",
}

// meantBy is the setting that somebody meant who wrote this name; "": none, or it is one. Short names are near each
// other by chance.
func meantBy(name string, ours map[string]bool) string {
	const shortest = 8
	if ours[name] {
		return ""
	}
	if meant := otherNames[strings.ToUpper(name)]; meant != "" {
		return meant
	}
	if len(name) < shortest {
		return ""
	}
	best, least := "", 3
	for _, one := range sortedNames(ours) {
		if len(one) < shortest {
			continue
		}
		if n := distance(strings.ToUpper(name), one); n < least {
			best, least = one, n
		}
	}
	return best
}

// distance is how many letters must be changed, left out or put in to make one name of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
