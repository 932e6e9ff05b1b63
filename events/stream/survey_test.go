package stream

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A server that has come back in bad moments has answered as the leader of a stream in three copies, and known no other.
func TestALeaderWithoutCopiesIsNoticed(t *testing.T) {
	t.Parallel()
	group := func(others ...*jetstream.PeerInfo) *jetstream.ClusterInfo {
		return &jetstream.ClusterInfo{Leader: "n1", Replicas: others}
	}
	for name, c := range map[string]struct {
		copies  int
		cluster *jetstream.ClusterInfo
		want    string
	}{
		"no cluster":               {1, nil, ""},
		"one copy on a cluster":    {1, group(), ""},
		"three copies, all known":  {3, group(&jetstream.PeerInfo{Name: "n2"}, &jetstream.PeerInfo{Name: "n3"}), ""},
		"three copies, none known": {3, group(), "n1"},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: c.copies}, Cluster: c.cluster}
		if got := alone(info); got != c.want {
			t.Errorf("%s: %q leads it alone, want %q", name, got, c.want)
		}
	}
}
