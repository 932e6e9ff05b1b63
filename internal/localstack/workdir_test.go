package localstack

import (
	"net"
	"strconv"
	"testing"
	"time"
)

func listen(t *testing.T, address string) (l net.Listener, port int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

func TestAPortIsKeptWhenItsLastHolderIsJustEnding(t *testing.T) {
	t.Parallel()
	dir, err := openWorkdir(testDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	l, port := listen(t, "127.0.0.1:0")
	if err := writeAtomic(dir.join("port"), []byte(strconv.Itoa(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	ending := time.AfterFunc(50*time.Millisecond, func() { l.Close() })
	defer ending.Stop()
	if got, err := dir.port(t.Context(), 0); err != nil || got != port {
		t.Errorf("port %d, %v, want %d as before", got, err, port)
	}
}

func TestAPortThatAStrangerTookIsReplaced(t *testing.T) {
	t.Parallel()
	dir, err := openWorkdir(testDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	_, port := listen(t, "127.0.0.1:0")
	if err := writeAtomic(dir.join("port"), []byte(strconv.Itoa(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := dir.port(t.Context(), 0)
	if err != nil || first == port || first < firstPort || first > lastPort {
		t.Fatalf("port %d, %v, and %d is taken", first, err, port)
	}
	if second, err := dir.port(t.Context(), 0); err != nil || second != first {
		t.Errorf("port %d, %v, want %d as before", second, err, first)
	}
}
