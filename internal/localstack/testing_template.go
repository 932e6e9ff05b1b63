package localstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// A template cluster of another layout than this one's is not used.
const templateRevision = 1

// copyTemplateCluster fills o.Dir with a cluster that has been initialised and
// stopped, because initdb takes longer than most test packages.
func copyTemplateCluster(ctx context.Context, o PostgresOptions) error {
	bin, err := o.server(ctx, 0)
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	template := filepath.Join(cache, fmt.Sprintf("postgres-%s-r%d", bin.version, templateRevision))
	if err := ensureTemplate(ctx, template, o.Binaries); err != nil {
		return fmt.Errorf("make the template cluster: %w", err)
	}
	return copyTree(template, o.Dir)
}

// ensureTemplate makes the template under a lock, complete when it has its name.
func ensureTemplate(ctx context.Context, template, binaries string) error {
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
	pg, err := StartPostgres(ctx, PostgresOptions{Dir: work, Binaries: binaries})
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
