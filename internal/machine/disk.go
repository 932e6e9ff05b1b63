package machine

import (
	"errors"
	"syscall"
	"time"
)

// A disk answers in microseconds; one over the network that is away, never.
const diskTimeout = time.Second

// A look is at one volume. All who ask while it goes on share it.
type look struct {
	done chan struct{}
	stat syscall.Statfs_t
	err  error
}

// look begins one, unless one goes on. Nothing ends a call to a disk that hangs, so it may outlive all who wait for
// it; there is one at a time for each volume.
func (m *Machine) look(v Volume) *look {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.looks[v]; l != nil {
		return l
	}
	l := &look{done: make(chan struct{})}
	m.looks[v] = l
	go func() {
		l.stat, l.err = m.statfs(v.Path)
		m.mu.Lock()
		delete(m.looks, v)
		m.mu.Unlock()
		close(l.done)
	}()
	return l
}

func (m *Machine) disk(v Volume) Disk {
	d := Disk{Name: v.Name, Path: v.Path}
	l := m.look(v)
	timeout := time.NewTimer(diskTimeout)
	defer timeout.Stop()
	select {
	case <-timeout.C:
		d.Reason = "the disk does not answer"
	case <-l.done:
		if l.err != nil {
			d.Reason = l.err.Error()
			return d
		}
		d.fill(l.stat)
	}
	return d
}

// fill counts as df does: what only root may fill is neither used nor free.
func (d *Disk) fill(s syscall.Statfs_t) {
	size := blockSize(s)
	used, free := int64(s.Blocks-s.Bfree)*size, int64(s.Bavail)*size
	d.Total, d.Free = int64(s.Blocks)*size, free
	if used+free <= 0 {
		d.Reason = "the disk has no size"
		return
	}
	share := percent(float64(used), float64(used+free))
	d.Percent = &share
}

// statfs asks again where a signal came between. A folder that is not there is not looked for above: that would be
// another disk.
func statfs(path string) (s syscall.Statfs_t, err error) {
	for {
		if err = syscall.Statfs(path, &s); !errors.Is(err, syscall.EINTR) {
			return s, err
		}
	}
}
