//go:build unix && !linux

package localstack

import "syscall"

// childAttr has no parent-death signal to ask for outside Linux: there a parent
// that is killed leaves its children, and the next start stops them.
func childAttr(_ syscall.Signal, credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: credential}
}
