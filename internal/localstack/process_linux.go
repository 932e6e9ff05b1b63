package localstack

import "syscall"

// childAttr puts the child into a process group of its own, so that a Ctrl-C in
// the terminal reaches the parent alone, which then stops things in order.
func childAttr(onParentDeath syscall.Signal, credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: onParentDeath, Credential: credential}
}
