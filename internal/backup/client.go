package backup

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A client is the folder of Postgres' own programs, of one version.
type client struct {
	dir     string
	major   int
	version string // as pg_dump prints it, such as 16.4
}

func (c client) path(program string) string { return filepath.Join(c.dir, program) }

// places are where packages put the programs of a major version, most likely first. The folders themselves come
// before PATH, as Debian's pg_dump in there is a script that chooses one.
var places = []string{
	"/usr/lib/postgresql/%d/bin",                 // Debian
	"/usr/pgsql-%d/bin",                          // Red Hat, from postgresql.org
	"/usr/libexec/postgresql%d",                  // Alpine
	"/usr/local/pgsql-%d/bin",                    // by hand
	"/opt/homebrew/opt/postgresql@%d/bin",        // macOS
	"/Applications/Postgres.app/Versions/%d/bin", // macOS
}

// findClient looks for the programs of the server's own major version. A newer pg_dump writes what the server can't
// restore (pg_dump 17 sets transaction_timeout, which 16 doesn't know), and an older one refuses the server.
func findClient(ctx context.Context, binaries string, major int, programs ...string) (client, error) {
	dirs := []string{binaries}
	if binaries == "" {
		dirs = dirs[:0]
		for _, place := range places {
			dirs = append(dirs, fmt.Sprintf(place, major))
		}
		if path, err := exec.LookPath("pg_dump"); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	var others []string
	for _, dir := range dirs {
		c, err := inspectClient(ctx, dir, programs)
		switch {
		case err == nil && c.major == major:
			return c, nil
		case err == nil:
			others = append(others, fmt.Sprintf("%s in %s", c.version, dir))
		case binaries != "":
			others = append(others, err.Error())
		}
	}
	return client{}, missingClient(major, binaries, others, programs)
}

func missingClient(major int, binaries string, others, programs []string) *Fault {
	f := &Fault{Code: ClientVersion, Detail: fmt.Sprintf("the server is Postgres %d, and there is no %s %d here",
		major, strings.Join(programs, " and "), major)}
	if len(others) > 0 {
		f.Detail += ", only " + strings.Join(others, ", ")
	}
	f.Remedy = fmt.Sprintf("install the programs of the server's own version: `apt-get install postgresql-client-%d` "+
		"(Debian, from apt.postgresql.org for versions that it lacks), `apk add postgresql%d-client` (Alpine)", major, major)
	if binaries != "" {
		f.Remedy += ", and name their folder where " + binaries + " is named now"
	}
	return f
}

var clientVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspectClient asks each program for its version: a folder may hold links to different ones.
func inspectClient(ctx context.Context, dir string, programs []string) (client, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c := client{dir: dir}
	for _, program := range programs {
		ask := exec.CommandContext(ctx, c.path(program), "--version")
		ask.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		out, err := ask.Output()
		if err != nil {
			return c, fmt.Errorf("ask %s for its version: %w", c.path(program), err)
		}
		m := clientVersion.FindSubmatch(out)
		if m == nil {
			return c, fmt.Errorf("%s has an unknown version", c.path(program))
		}
		major, err := strconv.Atoi(string(m[2]))
		if err != nil || c.major != 0 && c.major != major {
			return c, fmt.Errorf("%s is of another version than %s", c.path(program), c.path(programs[0]))
		}
		if c.major == 0 {
			c.version, c.major = string(m[1]), major
		}
	}
	return c, nil
}
