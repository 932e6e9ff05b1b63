//go:build !linux

package cli

import (
	"net"
	"time"
)

const lastConnections time.Duration = 0

// letNobodyBegin is known for Linux alone.
func letNobodyBegin(net.Listener) error { return nil }
