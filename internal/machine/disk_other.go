//go:build !linux

package machine

import "syscall"

func blockSize(s syscall.Statfs_t) int64 { return int64(s.Bsize) }
