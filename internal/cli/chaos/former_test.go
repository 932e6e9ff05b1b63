package chaos

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A former is the program as it was at an earlier commit, with the kinds of jobs of these tests.
type former struct {
	commit, binary string
}

// noHistory is for whoever has the files without the commits.
const noHistory = `this test builds the program as it was before the newest migration, and needs the commits for that:
run it in a whole clone of the repository (after a shallow one: git fetch --unshallow), not in an exported tree: %w`

// buildFormer builds the program of a commit, "" being the newest from which an upgrade has migrations to
// apply.
func buildFormer(t *testing.T, commit string) former {
	t.Helper()
	ctx := t.Context()
	root, err := git(ctx, ".", "rev-parse", "--show-toplevel")
	if err == nil && commit == "" {
		commit, err = beforeNewestMigration(ctx, root)
	}
	if err == nil {
		commit, err = git(ctx, root, "rev-parse", "--short", "--verify", commit+"^{commit}")
	}
	if err != nil {
		t.Fatal(fmt.Errorf(noHistory, err))
	}
	dir := passableDir(t)
	must(t, "unpack commit "+commit, unpackCommit(ctx, root, commit, dir))
	f := former{commit, filepath.Join(dir, "payaid-former")}
	// Without the paths what is compiled is found again by the next run, which has another folder.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-o", f.binary, "./internal/cli/chaos")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program of commit %s: %v\n%s", commit, err, out)
	}
	return f
}

// git answers in one line or more, without the last line's end.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// beforeNewestMigration finds the newest commit whose migrations are a beginning of the present ones:
// what was made at the same time on several branches has landed in another order than its numbers.
func beforeNewestMigration(ctx context.Context, root string) (string, error) {
	now, err := migrationsOf(ctx, root, "HEAD")
	if err != nil {
		return "", err
	}
	added, err := git(ctx, root, "log", "--diff-filter=A", "--format=%H", "--", "migrations/*.sql")
	if err != nil {
		return "", err
	}
	for commit := range strings.FieldsSeq(added) {
		before, err := migrationsOf(ctx, root, commit+"^")
		if err != nil {
			return "", err
		}
		if len(before) < len(now) && strings.Join(now[:len(before)], " ") == strings.Join(before, " ") {
			return commit + "^", nil
		}
	}
	return "", errors.New("no commit has fewer migrations than HEAD")
}

// migrationsOf lists the migrations of a commit by their numbers.
func migrationsOf(ctx context.Context, root, commit string) ([]string, error) {
	files, err := git(ctx, root, "ls-tree", "--name-only", commit, "migrations/")
	var list []string
	for file := range strings.FieldsSeq(files) {
		if strings.HasSuffix(file, ".sql") {
			list = append(list, file)
		}
	}
	return list, err
}

// unpackCommit writes the files of a commit into a folder.
func unpackCommit(ctx context.Context, root, commit, dir string) error {
	cmd := exec.CommandContext(ctx, "git", "archive", "--format=tar", commit)
	cmd.Dir = root
	archive, err := cmd.Output()
	if err != nil {
		return err
	}
	files := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeReg:
			err = writeFile(path, files)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(path string, from io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
