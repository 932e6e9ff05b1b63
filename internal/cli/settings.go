package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/telemetry"
)

// settings are the variables that the environment or flags give, as text. Each command embeds the
// groups that it needs; check reads them all and reports every problem at once.
type (
	logSettings struct {
		LogLevel  string `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
		LogFormat string `env:"LOG_FORMAT" default:"text" help:"text or json."`
	}
	databaseSettings struct {
		DatabaseURL    string `env:"DATABASE_URL" secret:"" help:"Postgres, for example postgres://user:password@host/payaid."`
		DBPoolSize     string `name:"db-pool-size" env:"DB_POOL_SIZE" default:"20" help:"Connections that a process keeps."`
		DBPoolOverflow string `name:"db-pool-overflow" env:"DB_POOL_OVERFLOW" default:"10" help:"Connections beyond those under load."`
		DBPoolTimeout  string `name:"db-pool-timeout" env:"DB_POOL_TIMEOUT" default:"30s" help:"Longest wait for a free connection."`
	}
	natsSettings struct {
		NATSURL string `name:"nats-url" env:"NATS_URL" secret:"" help:"NATS, for example nats://user:password@host:4222."`
	}
	redisSettings struct {
		RedisURL string `env:"REDIS_URL" secret:"" help:"Redis, for example redis://:password@host:6379/0, or by Sentinels redis+sentinel://:password@host:26379,host:26379/0?master=NAME."`
	}
	listenSettings struct {
		Listen string `env:"LISTEN" default:"127.0.0.1:8080" help:"Address of the HTTP API."`
	}
	limitSettings struct {
		RateLimitEnabled  string `name:"ratelimit-enabled" env:"RATELIMIT_ENABLED" default:"true" help:"false lets clients ask as often as they like."`
		RateLimitRequests string `name:"ratelimit-requests" env:"RATELIMIT_REQUESTS" default:"100" help:"Requests of a key without a number of its own, or of an address, in a window."`
		RateLimitWindow   string `name:"ratelimit-window" env:"RATELIMIT_WINDOW" default:"60s" help:"The window, 1s to 24h."`
		TrustedProxies    string `name:"trusted-proxies" env:"TRUSTED_PROXIES" help:"Addresses and networks, by commas, of the proxies whose X-Forwarded-For is believed."`
	}
	aiLimitSettings struct {
		AIRateLimits string `name:"ai-rate-limits" env:"AI_RATE_LIMITS" help:"AI jobs that an organization may submit in a time, by plan and by kind, by commas: free=20/1h,basic=200/1h,*:ai.daily_briefing=4/1h. * is every plan. None unless set."`
	}
	adminSettings struct {
		AdminKey string `name:"payaid-admin-key" env:"PAYAID_ADMIN_KEY" secret:"" help:"Key with every right, 32 characters or more."`
	}
	gstSettings struct {
		GSTRates string `name:"gst-rates" env:"GST_RATES" default:"${gst_rates}" help:"Rates in per cent that invoices may have."`
	}
	aiSettings struct {
		OllamaURL        string `env:"OLLAMA_URL" default:"http://127.0.0.1:11434" help:"The owner's Ollama."`
		OllamaEnabled    string `env:"OLLAMA_ENABLED" default:"true" help:"false leaves all answers to Groq."`
		OllamaModel      string `env:"OLLAMA_MODEL" default:"mistral:7b" help:"Model of the fast tier."`
		OllamaModelLarge string `env:"OLLAMA_MODEL_LARGE" default:"llama2:13b" help:"Model of the large tier."`
		OllamaParallel   string `env:"OLLAMA_PARALLEL" default:"2" help:"Calls at a time that the model host takes, over all processes."`
		OllamaKeepAlive  string `env:"OLLAMA_KEEP_ALIVE" default:"30m" help:"How long models stay loaded after a call: 30m, -1 for ever, or by model: mistral:7b=-1,llama2:13b=10m."`
		OllamaWarm       string `env:"OLLAMA_WARM" default:"fast" help:"Tiers whose models are kept loaded, so that no job finds them cold: fast, large, both by a comma, or none."`
		GroqKey          string `name:"groq-api-key-fallback" env:"GROQ_API_KEY_FALLBACK" secret:"" help:"Key of Groq, which answers when Ollama can't."`
		GroqBaseURL      string `env:"GROQ_BASE_URL" default:"https://api.groq.com/openai/v1" help:"Groq's API, or another that speaks OpenAI's protocol."`
		GroqModel        string `env:"GROQ_MODEL" default:"openai/gpt-oss-20b" help:"Groq's model of the fast tier."`
		GroqModelLarge   string `env:"GROQ_MODEL_LARGE" default:"openai/gpt-oss-120b" help:"Groq's model of the large tier."`
		GroqPrices       string `env:"GROQ_PRICES" help:"Dollars for a million tokens in and out, by model and by commas, over those known for the default models: openai/gpt-oss-20b=0.075/0.30. Who has a budget can't use a model without a price."`
		AIRulesFallback  string `name:"ai-rules-fallback" env:"AI_RULES_FALLBACK" help:"true lets the business kinds answer by fixed rules where no model can be reached. Off, but on in up."`
		AIUSDINR         string `name:"ai-usd-inr" env:"AI_USD_INR" default:"90" help:"Rupees for a dollar, for budgets and savings."`
	}
)

// problems gathers what is wrong with the settings.
type problems struct {
	list  []string
	files map[string]string // of secrets whose file is wrong, by the secret's name
}

// problems begins with the secrets whose files can't be used.
func (a *app) problems() problems {
	p := problems{files: a.files}
	for _, name := range sortedNames(a.files) {
		p.list = append(p.list, a.files[name])
	}
	return p
}

// add notes a problem, unless it only follows from a file that can't be used.
func (p *problems) add(name, format string, args ...any) {
	if _, known := p.files[name]; !known {
		p.list = append(p.list, name+": "+fmt.Sprintf(format, args...))
	}
}

func (p *problems) err() error {
	switch len(p.list) {
	case 0:
		return nil
	case 1:
		return errors.New("configuration: " + p.list[0])
	}
	return fmt.Errorf("configuration: %d problems\n  %s", len(p.list), strings.Join(p.list, "\n  "))
}

func (p *problems) number(name, value string, least, most int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		p.add(name, "want a whole number from %d to %d, got %q", least, most, value)
	}
	return n
}

func (p *problems) decimal(name, value string, least, most float64) float64 {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || !(n >= least && n <= most) {
		p.add(name, "want a number from %g to %g, got %q", least, most, value)
	}
	return n
}

func (p *problems) duration(name, value string) time.Duration {
	d, err := time.ParseDuration(value)
	if n, numErr := strconv.Atoi(value); err != nil && numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 {
		p.add(name, "want a time such as 30s or 2m, got %q", value)
	}
	return d
}

func (p *problems) truth(name, value string) bool {
	b, err := strconv.ParseBool(value)
	if err != nil {
		p.add(name, "want true or false, got %q", value)
	}
	return b
}

// url checks an address. The value is never shown, as it may hold a password.
func (p *problems) url(name, value string, schemes ...string) string {
	if value == "" {
		p.add(name, "is not set")
		return ""
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		p.add(name, "is not a URL")
	case u.Host == "":
		p.add(name, "names no host; want %s://host", schemes[0])
	default:
		for _, scheme := range schemes {
			if u.Scheme == scheme {
				return value
			}
		}
		p.add(name, "want %s://… at its beginning", strings.Join(schemes, ":// or "))
	}
	return value
}

// postgres checks the address of a database as the driver will read it, which repeats all of it but the
// password in front of the host when it does not understand it.
func (p *problems) postgres(name, value string) string {
	before := len(p.list)
	p.url(name, value, "postgres", "postgresql")
	if len(p.list) > before {
		return value
	}
	if _, err := pgxpool.ParseConfig(value); err != nil {
		why := errors.Unwrap(err)
		if why == nil {
			why = errors.New("the driver does not understand it")
		}
		p.add(name, "is no URL of a Postgres: %v", why)
	}
	return value
}

func (s logSettings) check(p *problems) (level slog.Level, format string) {
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		p.add("LOG_LEVEL", "want debug, info, warn or error, got %q", s.LogLevel)
	}
	if s.LogFormat != telemetry.Text && s.LogFormat != telemetry.JSON {
		p.add("LOG_FORMAT", "want text or json, got %q", s.LogFormat)
	}
	return level, s.LogFormat
}

// pool is how a process connects to Postgres.
type pool struct {
	url     string
	size    int // connections for the usual load
	most    int // with those for bursts
	timeout time.Duration
}

func (s databaseSettings) check(p *problems) pool {
	out := pool{url: s.DatabaseURL}
	size, overflow, timeout := s.DBPoolSize, s.DBPoolOverflow, s.DBPoolTimeout
	// The names that SQLAlchemy's users write into the URL win over the variables.
	if u, err := url.Parse(out.url); err == nil && out.url != "" {
		q := u.Query()
		for name, into := range map[string]*string{"pool_size": &size, "max_overflow": &overflow, "timeout": &timeout} {
			if v := q.Get(name); v != "" {
				*into = v
			}
			q.Del(name)
		}
		// A plus is a plus to Postgres, which has no other sign for a space than this one.
		u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		out.url = u.String()
	}
	p.postgres("DATABASE_URL", out.url)
	out.size = p.number("DB_POOL_SIZE", size, 1, 1000)
	out.most = out.size + p.number("DB_POOL_OVERFLOW", overflow, 0, 1000)
	out.timeout = p.duration("DB_POOL_TIMEOUT", timeout)
	return out
}

// database is DATABASE_URL for a command that has no pool: the processes that share the URL may have written
// theirs into it.
func (p *problems) database(value string) string {
	return databaseSettings{DatabaseURL: value, DBPoolSize: "1", DBPoolOverflow: "0", DBPoolTimeout: "30s"}.check(p).url
}

func (s natsSettings) check(p *problems) string {
	for one := range strings.SplitSeq(s.NATSURL, ",") {
		p.url("NATS_URL", one, "nats", "tls", "ws", "wss")
	}
	return s.NATSURL
}

// check gives "" for no Redis.
func (s redisSettings) check(p *problems) string {
	switch {
	case strings.HasPrefix(s.RedisURL, sentinelScheme+"://"):
		if _, err := sentinelOptions(s.RedisURL); err != nil {
			p.add("REDIS_URL", "%v", err)
		}
	case s.RedisURL != "":
		p.url("REDIS_URL", s.RedisURL, "redis", "rediss", "unix")
	}
	return s.RedisURL
}

func (s listenSettings) check(p *problems) string {
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		p.add("LISTEN", "want host:port, such as 127.0.0.1:8080, got %q", s.Listen)
	}
	return s.Listen
}

func (s adminSettings) check(p *problems) string {
	if s.AdminKey != "" && len(s.AdminKey) < 32 {
		p.add("PAYAID_ADMIN_KEY", "want 32 characters or more, got %d", len(s.AdminKey))
	}
	return s.AdminKey
}

func (s gstSettings) check(p *problems) gst.Rates {
	if s.GSTRates == "" {
		return gst.DefaultRates()
	}
	rates, err := gst.ParseRates(s.GSTRates)
	if err != nil {
		p.add("GST_RATES", "%v", err)
	}
	return rates
}

// What AI_RULES_FALLBACK is where it is not set: on this machine somebody tries the product out, elsewhere an
// owner decides.
const (
	rulesOn  = "true"
	rulesOff = "false"
)

// model is how answers are had.
type model struct {
	chain    inference.Config
	parallel int
	rules    bool    // answer where no model can be reached
	usdINR   float64 // rupees for a dollar
}

// check gives what AI_RULES_FALLBACK is where it is not set: rulesByDefault.
func (s aiSettings) check(p *problems, rulesByDefault string) model {
	keep, keepOwn := p.keepAlive("OLLAMA_KEEP_ALIVE", s.OllamaKeepAlive)
	return model{
		chain: inference.Config{
			OllamaURL:     p.url("OLLAMA_URL", s.OllamaURL, "http", "https"),
			OllamaEnabled: p.truth("OLLAMA_ENABLED", s.OllamaEnabled),
			OllamaModels:  inference.Models{Fast: s.OllamaModel, Large: s.OllamaModelLarge},
			KeepAlive:     keep,
			KeepAlives:    keepOwn,
			Warm:          p.tiers("OLLAMA_WARM", s.OllamaWarm),
			GroqKey:       s.GroqKey,
			GroqBaseURL:   p.url("GROQ_BASE_URL", s.GroqBaseURL, "http", "https"),
			GroqModels:    inference.Models{Fast: s.GroqModel, Large: s.GroqModelLarge},
			Prices:        p.prices("GROQ_PRICES", s.GroqPrices),
		},
		parallel: p.number("OLLAMA_PARALLEL", s.OllamaParallel, 1, 1024),
		rules:    p.truth("AI_RULES_FALLBACK", cmp.Or(s.AIRulesFallback, rulesByDefault)),
		usdINR:   p.decimal("AI_USD_INR", s.AIUSDINR, 1, 10000),
	}
}

// secretFiles lets a secret come from the file that NAME_FILE names, as container platforms mount them.
// What is wrong with a file is reported with the other problems.
func (a *app) secretFiles() kong.Resolver {
	a.files = make(map[string]string)
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if !flag.Tag.Has("secret") || len(flag.Envs) == 0 {
			return nil, nil
		}
		name := flag.Envs[0]
		path, ok := a.lookup(name + "_FILE")
		if !ok || path == "" {
			return nil, nil
		}
		if v, ok := a.lookup(name); ok && v != "" {
			a.files[name] = fmt.Sprintf("%s and %s_FILE are both set; keep one", name, name)
			return nil, nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			a.files[name] = fmt.Sprintf("%s_FILE: %v", name, err)
			return nil, nil
		}
		return string(bytes.TrimRight(content, "\r\n")), nil
	})
}
