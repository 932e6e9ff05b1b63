package machine

import "syscall"

// blockSize is the unit of the counts; Bsize is the one in which it is best to write.
func blockSize(s syscall.Statfs_t) int64 {
	if s.Frsize > 0 {
		return s.Frsize
	}
	return s.Bsize
}
