package cli

import (
	"math"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/payaid/payaid/internal/machine"
)

const (
	scarceDisk = 15 // per cent that are free
	fullDisk   = 5
	fewFiles   = 4096
	fullMemory = 90 // per cent that are used
)

// machine looks at what the product has on this machine.
func (d *doctor) machine(x examination) {
	var volumes []machine.Volume
	for _, v := range []machine.Volume{{Name: "data", Path: x.data}, {Name: "backups", Path: x.backups.config.Dir}, {Name: "working folder", Path: "."}} {
		if _, err := os.Stat(v.Path); v.Path != "" && err == nil {
			volumes = append(volumes, v)
		}
	}
	f := machine.New(volumes).Figures()
	for _, disk := range f.Disks {
		d.disk(disk)
	}
	if m := f.Memory; m != nil {
		switch {
		case m.Percent > fullMemory:
			d.say(uneasy, "memory", "give it more memory, or see what takes it", "%.0f %% of %s is used", m.Percent, bytesIn(m.Limit))
		case m.Source != machine.Host && debug.SetMemoryLimit(-1) == math.MaxInt64:
			d.say(uneasy, "memory", "set GOMEMLIMIT to about nine tenths of the limit", "the container has %s, and Go does not know it", bytesIn(m.Limit))
		default:
			d.say(fine, "memory", "", "%.0f %% of %s is used", m.Percent, bytesIn(m.Limit))
		}
	}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil && files.Max < fewFiles {
		d.say(uneasy, "open files", "raise it (ulimit -n, LimitNOFILE): each client of the API takes one", "a process may open %d", files.Max)
	}
}

func (d *doctor) disk(v machine.Disk) {
	check := "disk of " + v.Name
	if v.Percent == nil || v.Total <= 0 {
		d.say(uneasy, check, "see whether it is mounted", "%s: %s", v.Path, v.Reason)
		return
	}
	const remedy = "make room, or use another disk"
	free := 100 - *v.Percent
	switch {
	case free < fullDisk:
		d.say(broken, check, remedy, "%s has %s free, %.1f %%", v.Path, bytesIn(v.Free), free)
	case free < scarceDisk:
		d.say(uneasy, check, remedy, "%s has %s free, %.1f %%", v.Path, bytesIn(v.Free), free)
	default:
		d.say(fine, check, "", "%s has %s free, %.0f %%", v.Path, bytesIn(v.Free), free)
	}
}
