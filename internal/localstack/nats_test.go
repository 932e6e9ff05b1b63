package localstack

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNATSSyncsEveryWrite(t *testing.T) {
	t.Parallel()
	n := TestNATS(t)
	info, err := n.server.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Config.SyncAlways {
		t.Error("the embedded server does not sync every write")
	}

	p, err := openWorkdir(testDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if _, err := configureNATS(t.Context(), p, 0); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(p.join("nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways || o.Host != "127.0.0.1" || o.StoreDir != p.path || o.Username == "" || o.Password == "" {
		t.Errorf("the process syncs always: %t, on %s, in %s, for the user %q", o.SyncAlways, o.Host, o.StoreDir, o.Username)
	}
}

func TestNATSRefusesStrangers(t *testing.T) {
	t.Parallel()
	n := TestNATS(t)
	for name, login := range map[string]nats.Option{
		"nobody":           nats.UserInfo("", ""),
		"a wrong password": nats.UserInfo(natsUser, "wrong"),
		"no password":      nats.UserInfo(natsUser, ""),
	} {
		if conn, err := nats.Connect(n.server.ClientURL(), login); err == nil {
			conn.Close()
			t.Errorf("%s was let in", name)
		}
	}
}

func TestNATSStartsAgainWhereItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "nats")
	first, err := StartNATS(t.Context(), NATSOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	js := jetStream(t, first.URL())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second, err := StartNATS(t.Context(), NATSOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop(context.Background())
	if second.URL() != first.URL() {
		t.Errorf("the second start is at %s, the first was at %s", second.URL(), first.URL())
	}
	expectMessages(t, second.URL(), 1)
}

// Every acknowledged message is in the stream after the server was killed in the
// middle of publishing.
func TestNATSKeepsAckedMessagesWhenKilled(t *testing.T) {
	t.Parallel()
	n := NewNATS(t)
	js := jetStream(t, n.URL())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	const enough = 50
	publishing, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	acked, flowing, killed := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		select {
		case <-flowing:
			n.Kill()
			giveUp()
		case <-publishing.Done():
		}
	}()
	for {
		if _, err := js.Publish(publishing, "s", []byte("x")); err != nil {
			break
		}
		if acked++; acked == enough {
			close(flowing)
		}
	}
	giveUp()
	<-killed
	if acked < enough {
		t.Fatalf("publishing stopped after %d messages, before the kill", acked)
	}
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectMessages(t, n.URL(), acked)
}

// expectMessages allows one more than acked: it was stored, and its
// acknowledgement was lost.
func expectMessages(t *testing.T, url string, acked int) {
	t.Helper()
	stream, err := jetStream(t, url).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	got := int(stream.CachedInfo().State.Msgs)
	if got != acked && got != acked+1 {
		t.Errorf("the stream holds %d messages, %d were acknowledged", got, acked)
	}
}

func TestOldNATSVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{
		server.VERSION: true, "2.15.0": true, "2.15.0-beta.1": true, "3.0.0": true, "2.100.1": true,
		"2.14.9": false, "2.9.22": false, "1.20.0": false, "": false, "dev": false,
	} {
		err := checkNATSVersion(version)
		if ok != (err == nil) {
			t.Errorf("%q: %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), "2.15") {
			t.Errorf("%q: %v does not say what is needed", version, err)
		}
	}
}

func containsAll(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
