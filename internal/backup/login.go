package backup

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A login leads a program of Postgres to a database without a secret in its arguments or its environment, which
// others on the machine may read: the settings and the password are in two files that have no name any more and
// that the program inherits.
type login struct {
	service, password *os.File
}

// Descriptors that an inherited file has in the program: exec.Cmd.ExtraFiles begins with 3.
const (
	serviceFile  = "/dev/fd/3"
	passwordFile = "/dev/fd/4"
)

// newLogin is the login of databaseURL, to another database where one is named. Its close ends it.
func newLogin(databaseURL, database string) (*login, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("read the database's address: it is no Postgres URL") // the cause shows the password
	}
	given := settings(databaseURL)
	if given["host"] == "" {
		given["host"], given["port"] = config.Host, strconv.Itoa(int(config.Port))
	}
	given["user"] = config.User
	given["dbname"] = config.Database
	if database != "" {
		given["dbname"] = database
	}
	var service strings.Builder
	service.WriteString("[payaid]\n")
	for _, name := range wanted {
		if v := given[name]; v != "" {
			if strings.ContainsAny(v, "\r\n") {
				return nil, fmt.Errorf("read the database's address: %s has a line break in it", name)
			}
			fmt.Fprintf(&service, "%s=%s\n", name, v)
		}
	}
	// Without these a server that vanished would be waited for during hours.
	service.WriteString("keepalives_idle=30\nkeepalives_interval=10\nkeepalives_count=3\n")
	escaped := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(config.Password)
	l := &login{}
	if l.service, err = nameless(service.String()); err != nil {
		return nil, err
	}
	if l.password, err = nameless("*:*:*:*:" + escaped + "\n"); err != nil {
		return nil, errors.Join(err, l.service.Close())
	}
	return l, nil
}

// wanted are the settings that libpq takes over from the URL. Others there are for pgx, and libpq refuses what it
// doesn't know.
var wanted = []string{"host", "hostaddr", "port", "dbname", "user", "sslmode", "sslcert", "sslkey", "sslpassword",
	"sslrootcert", "sslcrl", "sslcrldir", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version",
	"channel_binding", "gssencmode", "krbsrvname", "connect_timeout", "target_session_attrs", "options"}

// settings reads a database's address as libpq does, a URL or words of the form name=value.
func settings(address string) map[string]string {
	found := make(map[string]string)
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		for name, value := range words(address) {
			found[name] = value
		}
		return found
	}
	var hosts, ports []string
	for host := range strings.SplitSeq(u.Host, ",") {
		one := url.URL{Host: host}
		if one.Hostname() != "" {
			hosts, ports = append(hosts, one.Hostname()), append(ports, one.Port())
		}
	}
	found["host"] = strings.Join(hosts, ",")
	if slices.ContainsFunc(ports, func(p string) bool { return p != "" }) {
		found["port"] = strings.Join(ports, ",")
	}
	for name, values := range u.Query() {
		found[name] = values[len(values)-1]
	}
	return found
}

// words reads name=value pairs; a value with spaces stands in single quotes, and a backslash takes the next
// character as it is.
func words(text string) map[string]string {
	found := make(map[string]string)
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return found
		}
		var value strings.Builder
		rest = strings.TrimLeft(rest, " ")
		quoted := strings.HasPrefix(rest, "'")
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(rest); i++ {
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			} else if quoted && rest[i] == '\'' || !quoted && rest[i] == ' ' {
				i++
				break
			}
			value.WriteByte(rest[i])
		}
		found[strings.TrimSpace(name)] = value.String()
		text = rest[i:]
	}
	return found
}

// nameless writes a file that is gone from its folder before anything is in it.
func nameless(text string) (*os.File, error) {
	f, err := os.CreateTemp("", ".payaid-*")
	if err != nil {
		return nil, fmt.Errorf("make a file for the database's address: %w", err)
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = f.WriteAt([]byte(text), 0)
	}
	if err != nil {
		return nil, fmt.Errorf("write the database's address: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

func (l *login) close() {
	_ = l.service.Close() // nothing is in them that anybody still needs
	_ = l.password.Close()
}
