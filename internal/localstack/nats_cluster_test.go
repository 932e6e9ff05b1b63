package localstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// What a cluster has acknowledged outlives the server that leads the stream, and it goes on with two.
func TestNATSClusterOutlivesItsLeader(t *testing.T) {
	t.Parallel()
	c := NewNATSCluster(t)
	js := jetStream(t, c.URL())
	made, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: c.Size()})
	if err != nil {
		t.Fatal(err)
	}
	const acked = 20
	for range acked {
		if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	leader, found := c.Server(made.CachedInfo().Cluster.Leader)
	if !found {
		t.Fatalf("the stream is led by %q, which is none of the cluster", made.CachedInfo().Cluster.Leader)
	}
	pid := c.members[leader].running.Pid()
	c.KillServer(leader)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the server that was killed is still there: %v", err)
	}
	// Nobody starts it again, as nobody would start a machine that has died.
	if err := c.Signal(leader, syscall.SIGCONT); err == nil {
		t.Error("a server that was killed took a signal")
	}
	if err := poll(t.Context(), func(ctx context.Context) error {
		_, err := js.Publish(ctx, "s", []byte("more"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.StartServer(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.WaitReady(t.Context()), c.WaitHealthy(t.Context(), leader)); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got < acked+1 {
		t.Errorf("the stream holds %d messages, %d were acknowledged", got, acked+1)
	}
}

// A leader that is cut off acknowledges nothing; the others go on without it, and it comes round to what
// they have.
func TestNATSClusterGoesOnWithoutWhoIsCutOff(t *testing.T) {
	t.Parallel()
	c := NewNATSCluster(t)
	js := jetStream(t, c.URL())
	made, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: c.Size()})
	if err != nil {
		t.Fatal(err)
	}
	leader, _ := c.Server(made.CachedInfo().Cluster.Leader)
	c.CutOff(leader)
	alone := jetStream(t, c.members[leader].url)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if ack, err := alone.Publish(ctx, "s", []byte("lost")); err == nil {
		t.Errorf("the leader that is cut off acknowledged %+v", ack)
	}
	others := jetStream(t, c.members[(leader+1)%c.Size()].url)
	if err := poll(t.Context(), func(ctx context.Context) error {
		_, err := others.Publish(ctx, "s", []byte("kept"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c.Rejoin(leader)
	if err := c.WaitHealthy(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if err := poll(t.Context(), func(ctx context.Context) error {
		msg, err := made.GetMsg(ctx, 1)
		if err == nil && string(msg.Data) != "kept" {
			err = final{fmt.Errorf("the first message is %q", msg.Data)}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestNATSClusterSyncsEveryWrite(t *testing.T) {
	t.Parallel()
	c := &NATSCluster{}
	if err := c.configure(t.Context(), NATSOptions{Dir: testDir(t)}); err != nil {
		t.Fatal(err)
	}
	defer c.unlink()
	names := make(map[string]bool)
	for _, m := range c.members {
		o, err := server.ProcessConfigFile(m.config)
		if err != nil {
			t.Fatal(err)
		}
		names[o.ServerName] = true
		if !o.SyncAlways || o.Host != "127.0.0.1" || o.Username == "" || o.Password == "" || o.StoreDir != m.dir {
			t.Errorf("%s syncs always: %t, on %s, in %s, for the user %q", m.name, o.SyncAlways, o.Host, o.StoreDir, o.Username)
		}
		if o.Cluster.Name == "" || o.Cluster.Host != "127.0.0.1" || o.Cluster.Password == "" || len(o.Routes) != natsServers-1 {
			t.Errorf("%s is in the cluster %q, on %s, with %d routes", m.name, o.Cluster.Name, o.Cluster.Host, len(o.Routes))
		}
		if info, err := os.Stat(m.config); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the configuration of %s, with a password in it, is %v, %v", m.name, info, err)
		}
	}
	if len(names) != natsServers || strings.Count(c.URL(), ",") != natsServers-1 {
		t.Errorf("%d names, addresses %q", len(names), c.URL())
	}
}
