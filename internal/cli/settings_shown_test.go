package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/payaid/payaid/internal/gst"
)

// TestShownSettingsHideSecrets sets every variable there is to a secret, and looks for them in what is shown.
func TestShownSettingsHideSecrets(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	environment := map[string]string{"LISTEN": "127.0.0.1:1", "OLLAMA_URL": "http://user:" + hidden + "@ollama:11434/", "DATABASE_URL": "postgres://u:" + hidden + "@h/d",
		"NATS_URL": "nats://u:" + hidden + "@h", "REDIS_URL": "redis://:" + hidden + "@h", "PAYAID_ADMIN_KEY": hidden, "GROQ_API_KEY_FALLBACK": hidden,
		"OTEL_EXPORTER_OTLP_HEADERS": "key=" + hidden, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + hidden + "@collector", "SMTP_PASS": hidden, "DB_POOL_SIZE": "7"}
	a := &app{stdout: io.Discard, stderr: io.Discard, lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }}
	parser, err := kong.New(&commands{}, kong.Resolvers(a.secretFiles(), kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		if len(f.Envs) > 0 {
			if v, ok := environment[f.Envs[0]]; ok {
				return v, nil
			}
		}
		return nil, nil
	})), kong.Vars{"default_data": "/data", "gst_rates": gst.DefaultRates().String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"api", "up"} {
		parsed, err := parser.Parse([]string{command})
		if err != nil {
			t.Fatal(err)
		}
		list := a.shownSettings(parsed.Flags())
		if len(list) < 20 {
			t.Fatalf("%s shows %d settings", command, len(list))
		}
		found := map[string]bool{}
		for _, s := range list {
			shown := ""
			if s.Value != nil {
				shown = *s.Value
			}
			if strings.Contains(shown, hidden) || s.Secret && s.Value != nil {
				t.Errorf("%s shows %s = %q", command, s.Name, shown)
			}
			if _, ok := environment[s.Name]; ok != s.Set {
				t.Errorf("%s says that %s is set: %t", command, s.Name, s.Set)
			}
			found[s.Name] = true
			if s.Name == "DB_POOL_SIZE" && shown != "7" || s.Name == "OLLAMA_URL" && shown != "http://***@ollama:11434/" {
				t.Errorf("%s shows %s = %q", command, s.Name, shown)
			}
		}
		for _, name := range []string{"DATABASE_URL", "PAYAID_ADMIN_KEY", "LISTEN", "GROQ_API_KEY_FALLBACK"} {
			if !found[name] {
				t.Errorf("%s does not show %s", command, name)
			}
		}
	}
}
