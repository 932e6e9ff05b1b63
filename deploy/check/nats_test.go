package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// natsServer builds the real server, of the version that the product's tests use.
func natsServer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/nats-io/nats-server/v2")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return path
}

// The real server takes its configuration as the pods have it, with the example's secrets, and refuses a spoilt one.
func TestKubernetesNATS(t *testing.T) {
	server := natsServer(t)
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		dir := t.TempDir()
		for name, m := range c.settings {
			if strings.HasPrefix(name, "nats-config-") {
				keep(t, dir, "nats.conf", m.Data["nats.conf"])
			}
		}
		for name, s := range c.secrets {
			if strings.HasPrefix(name, "nats-auth-") {
				for key, value := range s.Data {
					keep(t, dir, key, string(value))
				}
			}
		}
		try := func() (string, error) {
			check := exec.Command(server, "-t", "-c", filepath.Join(dir, "nats.conf"))
			check.Env = append(os.Environ(), "POD_NAME=nats-0")
			out, err := check.CombinedOutput()
			return string(out), err
		}
		if out, err := try(); err != nil {
			t.Errorf("nats-server -t: %v\n%s", err, out)
		}
		config, err := os.ReadFile(filepath.Join(dir, "nats.conf"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(config), "sync_interval: always") {
			t.Error("what was acknowledged may be lost: sync_interval is not always")
		}
		keep(t, dir, "nats.conf", strings.Replace(string(config), "sync_interval", "sync_intervals", 1))
		if out, err := try(); err == nil {
			t.Errorf("a field that it doesn't know is taken: %s", out)
		}
		if overlay != "ha" {
			return
		}
		set := c.sets["nats"]
		if *set.Spec.Replicas != 3 || set.Spec.PodManagementPolicy != "Parallel" || set.Spec.Template.Spec.Affinity == nil {
			t.Error("the servers are not three, wait for each other, or share a node")
		}
		if !c.services["nats-peers"].Spec.PublishNotReadyAddresses {
			t.Error("servers don't find each other before they are ready")
		}
		k := set.Spec.Template.Spec.Containers[0]
		if k.StartupProbe.HTTPGet.Path != "/healthz" || k.ReadinessProbe.HTTPGet.Path != "/healthz?js-server-only=true" ||
			k.LivenessProbe.HTTPGet.Path != "/healthz?js-enabled-only=true" {
			t.Error("a stream that catches up, or has no leader, would have servers killed or clients sent away")
		}
	})
}

func keep(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
