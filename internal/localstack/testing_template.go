package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A template cluster of another layout than this one's is not used.
const templateRevision = 1

// copyTemplateCluster fills dir with a cluster that has been initialised and
// stopped, because initdb takes longer than most test packages.
func copyTemplateCluster(ctx context.Context, dir string) error {
	bin, err := findPostgres(ctx, 0)
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	template := filepath.Join(cache, fmt.Sprintf("postgres-%s-r%d", bin.version, templateRevision))
	if err := ensureTemplate(ctx, template); err != nil {
		return fmt.Errorf("make the template cluster: %w", err)
	}
	return copyTree(template, dir)
}

// ensureTemplate makes the template under a lock, complete when it has its name.
func ensureTemplate(ctx context.Context, template string) error {
	lock, err := lockFile(template+".lock", 0)
	if err != nil {
		return err
	}
	defer unlock(lock)
	if _, err := os.Stat(template); err == nil {
		return nil
	}
	// The server can't work in the cache: root's is closed to the user it runs as.
	work, err := newTestDir("template")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	pg, err := StartPostgres(ctx, PostgresOptions{Dir: work})
	if err != nil {
		return err
	}
	if err := pg.Stop(ctx); err != nil {
		return err
	}
	making := template + ".new"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	for _, name := range []string{"data", "password", "superuser-password"} {
		if err := copyTree(filepath.Join(work, name), filepath.Join(making, name)); err != nil {
			return err
		}
	}
	return os.Rename(making, template)
}

// copyTree copies a file or a folder with all below it.
func copyTree(from, to string) error { return walkTree(from, to, copyFile) }

// walkTree makes the folders of from again under to, and hands over the files.
func walkTree(from, to string, file func(from, to string, mode fs.FileMode) error) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o711); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, info.Mode().Perm())
		}
		return file(path, target, info.Mode().Perm())
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
