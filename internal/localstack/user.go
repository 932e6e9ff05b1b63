package localstack

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// unprivileged is the first of the named users that exists, when we are root;
// else nil, which means ourselves.
func unprivileged(names ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("none of the users %s exists: make one (useradd --system %s), or don't run as root",
		strings.Join(names, ", "), names[0])
}

// reachable makes sure that the user can get to dir, by going there as that user.
func reachable(dir string, as *syscall.Credential) error {
	if as == nil || canEnter(dir, as) {
		return nil
	}
	blocked := dir
	for up := filepath.Dir(dir); up != blocked && !canEnter(up, as); up = filepath.Dir(up) {
		blocked = up
	}
	return fmt.Errorf("user %d may not pass through %s on the way to %s: "+
		"run `chmod a+x %s`, or choose a data folder elsewhere, such as /var/lib/payaid", as.Uid, blocked, dir, blocked)
}

func canEnter(dir string, as *syscall.Credential) bool {
	cmd := exec.Command("/bin/true")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return cmd.Run() == nil
}

// giveTo makes a tree the user's own. It does nothing where its top is that
// already, since only we write there.
func giveTo(root string, to *syscall.Credential) error {
	if to == nil {
		return nil
	}
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == to.Uid {
		return nil
	}
	// The top last: what it says is true of the whole.
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		return os.Lchown(path, int(to.Uid), int(to.Gid))
	})
	if err != nil {
		return err
	}
	return os.Lchown(root, int(to.Uid), int(to.Gid))
}
