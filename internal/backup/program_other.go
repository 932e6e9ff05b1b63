//go:build !linux

package backup

import "syscall"

// ownGroup lets a program be ended with all that it starts. It ends with us by the pipe that breaks.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
