package cli

import (
	"net"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// lastConnections is how long connections that were made already have to be accepted.
const lastConnections = 250 * time.Millisecond

// letNobodyBegin has a listener take no new connections, while those that have begun are still accepted: a listener that is
// simply closed resets what the kernel has accepted and the process has not, and with it requests that were sent already. Who
// comes now finds nobody, comes again after a second, and is refused then, by a listener that is closed: a proxy asks
// another process, as nothing was sent yet. The kernel throws segments that begin a connection (SYN, RFC 9293 section 3.1)
// away; where it doesn't take the filter, the listener is as it was.
func letNobodyBegin(l net.Listener) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	const flags, syn = 13, 0x02
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: flags, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: syn, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filters := make([]unix.SockFilter, len(program))
	for i, one := range program {
		filters[i] = unix.SockFilter{Code: one.Op, Jt: one.Jt, Jf: one.Jf, K: one.K}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]})
	})
	if err != nil {
		return err
	}
	return refused
}
