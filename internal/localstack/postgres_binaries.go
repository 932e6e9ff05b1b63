package localstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pgBinaries is one installed Postgres server.
type pgBinaries struct {
	dir     string
	major   int
	version string // as the server prints it, such as 15.18
}

func (b pgBinaries) path(name string) string { return filepath.Join(b.dir, name) }

// library says whether a shared library of that name comes with the server.
func (b pgBinaries) library(name string) bool {
	for _, dir := range []string{"../lib", "../lib/postgresql", "../lib64"} {
		if _, err := os.Stat(filepath.Join(b.dir, dir, name+".so")); err == nil {
			return true
		}
	}
	return false
}

// findPostgres chooses the server for a cluster of the given major version, or,
// for a cluster that is yet to be made (0), the one in PATH, else the newest.
func findPostgres(ctx context.Context, major int) (pgBinaries, error) {
	return choosePostgres(installedPostgres(ctx), major)
}

func choosePostgres(installed []pgBinaries, major int) (pgBinaries, error) {
	if len(installed) == 0 {
		return pgBinaries{}, errors.New("no Postgres server is installed: run `apt-get install postgresql`, " +
			"or set DATABASE_URL to one of your own")
	}
	if major == 0 {
		return installed[0], nil
	}
	var found []string
	for _, b := range installed {
		if b.major == major {
			return b, nil
		}
		found = append(found, strconv.Itoa(b.major))
	}
	return pgBinaries{}, fmt.Errorf("the data was written by Postgres %d and the server installed is Postgres %s: "+
		"run `apt-get install postgresql-%d`, or move the folder away to begin anew, or take it over with pg_upgrade",
		major, strings.Join(found, ", "), major)
}

func installedPostgres(ctx context.Context) []pgBinaries {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return majorIn(b) - majorIn(a) })
		dirs = append(dirs, found...)
	}
	var all []pgBinaries
	for _, dir := range dirs {
		if b, err := inspectPostgres(ctx, dir); err == nil {
			all = append(all, b)
		}
	}
	return all
}

var pgVersion = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)\S*)`)

func inspectPostgres(ctx context.Context, dir string) (pgBinaries, error) {
	b := pgBinaries{dir: dir}
	if _, err := os.Stat(b.path("initdb")); err != nil {
		return b, err
	}
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return b, err
	}
	match := pgVersion.FindSubmatch(bytes.TrimSpace(out))
	if match == nil {
		return b, fmt.Errorf("%s: unknown version %q", b.path("postgres"), out)
	}
	b.version = string(match[1])
	b.major, err = strconv.Atoi(string(match[2]))
	return b, err
}

// majorIn is the version in a folder's name, such as 15 in /usr/lib/postgresql/15/bin.
func majorIn(dir string) int {
	major, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(dir)), "pgsql-"))
	return major
}

// clusterMajor reads which version wrote a data folder; 0 when there is none.
func clusterMajor(data string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("%s holds %q, which is no version that PayAid knows", filepath.Join(data, "PG_VERSION"), raw)
	}
	return major, nil
}
