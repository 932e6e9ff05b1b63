package localstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// initCluster makes dir/data. The folder gets its name when it is complete, so
// that a start which was cut short leaves nothing that looks like a cluster.
func initCluster(ctx context.Context, dir *workdir, bin pgBinaries, as *syscall.Credential, fsync bool, password string) error {
	making := dir.join("data.new")
	passwordFile := dir.join("initdb-password")
	if there, _ := os.ReadDir(dir.join("data")); len(there) > 0 {
		return fmt.Errorf("%s is not empty and has no PG_VERSION: move it away to begin anew", dir.join("data"))
	}
	defer os.Remove(passwordFile)
	err := errors.Join(
		os.RemoveAll(making),
		os.Mkdir(making, 0o700),
		giveTo(making, as),
		os.WriteFile(passwordFile, []byte(password+"\n"), 0o600),
		giveTo(passwordFile, as),
	)
	if err != nil {
		return err
	}
	args := []string{"-D", making, "-U", superRole, "--pwfile", passwordFile, "-A", "scram-sha-256",
		"-E", "UTF8", "--locale", "C.UTF-8", "--data-checksums"}
	if !fsync {
		args = append(args, "--no-sync")
	}
	// The kernel ends initdb with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, bin.path("initdb"), args...)
	cmd.Dir, cmd.Env = "/", childEnv
	cmd.SysProcAttr = childAttr(syscall.SIGKILL, as)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a new cluster in %s: %w\n%s", making, err, out)
	}
	if err := os.Rename(making, dir.join("data")); err != nil {
		return err
	}
	return syncDir(dir.path)
}
