package check

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Every process takes all that its pod gives it, with the example's secrets in their places.
func TestKubernetesProcessesStart(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		for name, pod := range c.ours() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				environment := c.environment(t, pod.Spec)
				for path, folder := range c.secretsOf(t, pod.Spec) {
					for variable, value := range environment {
						if file, ok := strings.CutPrefix(value, path+"/"); ok {
							environment[variable] = filepath.Join(folder, file)
						}
					}
				}
				starts(t, pod.Spec.Containers[0].Args, environment)
			})
		}
	})
}

// secretsOf writes what a pod has mounted of Secrets, and says in which folder each of its paths is.
func (c *cluster) secretsOf(t *testing.T, pod corev1.PodSpec) map[string]string {
	t.Helper()
	folders := make(map[string]string)
	for _, m := range pod.Containers[0].VolumeMounts {
		for _, v := range pod.Volumes {
			if v.Name != m.Name || v.Secret == nil {
				continue
			}
			folders[m.MountPath] = t.TempDir()
			for key, value := range c.secrets[v.Secret.SecretName].Data {
				keep(t, folders[m.MountPath], key, string(value))
			}
		}
	}
	return folders
}

// Backups go into a folder inside of their volume: the volume itself belongs to root, and the product takes no folder of
// somebody else's.
func TestKubernetesBackupFolder(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		pod := c.pods()["Deployment/payaid-worker-maintenance"].Spec
		dir := c.environment(t, pod)["BACKUP_DIR"]
		claim := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
		if claim < 0 {
			t.Fatal("there is no volume for backups")
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if m.Name == pod.Volumes[claim].Name && (!strings.HasPrefix(dir, m.MountPath+"/") || strings.TrimPrefix(dir, m.MountPath+"/") == "") {
				t.Errorf("BACKUP_DIR is %s, and the volume is %s", dir, m.MountPath)
			}
		}
		// What is new in the volume may be made by the group of the pod, and later starts leave modes as they are.
		s := pod.SecurityContext
		if s.FSGroup == nil || s.FSGroupChangePolicy == nil || *s.FSGroupChangePolicy != corev1.FSGroupChangeOnRootMismatch {
			t.Errorf("the volume is given to nobody, or opened to the group at each start: %+v", s)
		}
	})
}

// Which images run is said in the overlay, where its owner changes it.
func TestKubernetesImagesFollowTheOverlay(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		text, err := build(overlay, func(text string) string {
			text = strings.ReplaceAll(text, `newTag: "1.0"`, `newTag: "2.7"`)
			return strings.ReplaceAll(text, "registry.example.com/", "registry.example.net/acme/")
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, pod := range read(t, text).ours() {
			want := "registry.example.net/acme/payaid:2.7"
			if strings.HasSuffix(name, "worker-maintenance") {
				want = "registry.example.net/acme/payaid-backup:2.7"
			}
			if got := pod.Spec.Containers[0].Image; got != want {
				t.Errorf("%s: %s runs %s, want %s", overlay, name, got, want)
			}
		}
	}
}

// Alerts ask for targets by the name that both ways of being scraped give them.
func TestAlertsFindTheirTargets(t *testing.T) {
	t.Parallel()
	text, err := builtOverlays["ha"]()
	if err != nil {
		t.Fatal(err)
	}
	endpoints := read(t, text).customs["PodMonitor/payaid"]["spec"].(map[string]any)["podMetricsEndpoints"].([]any)
	var job any = "payaid/payaid" // the operator's own: namespace/name
	relabelings, _ := endpoints[0].(map[string]any)["relabelings"].([]any)
	for _, one := range relabelings {
		if r := one.(map[string]any); r["targetLabel"] == "job" && r["sourceLabels"] == nil {
			job = r["replacement"]
		}
	}
	asked := regexp.MustCompile(`\bjob="([^"]*)"`).FindAllStringSubmatch(readDeploy(t, "prometheus/payaid.rules.yml"), -1)
	if len(asked) == 0 {
		t.Error("no rule asks whether a process is there")
	}
	for _, m := range asked {
		if m[1] != job || !strings.Contains(readDeploy(t, "prometheus/prometheus.yml"), "job_name: "+m[1]+"\n") {
			t.Errorf("a rule asks for the job %s, and the PodMonitor's is %v", m[1], job)
		}
	}
}

// The grants of KEDA's login reach the Postgres of the overlay by the command that README.md has.
func TestKubernetesScalerGrants(t *testing.T) {
	t.Parallel()
	text, err := builtOverlays["ha"]()
	if err != nil {
		t.Fatal(err)
	}
	c := read(t, text)
	out := filepath.Join(t.TempDir(), "out")
	const kubectl = `kubectl() {
	case "$*" in
	"-n payaid get pods -l cnpg.io/cluster=payaid-postgres,cnpg.io/instanceRole=primary -o name") echo pod/payaid-postgres-1 ;;
	"-n payaid exec -i pod/payaid-postgres-1 -c postgres -- psql -U postgres payaid") cat >"$OUT" ;;
	"-n payaid get pods") ;;
	*) echo "what is kubectl $*?" >&2; return 1 ;;
	esac
}
`
	commands := block(t, readDeploy(t, "kubernetes/README.md"), "## Order")
	typed(t, kubernetes+"overlays/ha", kubectl+commands, "OUT="+out)
	want, err := os.ReadFile(kubernetes + "components/scaling/scaler.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != string(want) {
		t.Errorf("Postgres is told %q (%v)", got, err)
	}
	if c.customs["Cluster/payaid-postgres"] == nil || c.namespaces["payaid"] == nil {
		t.Error("there is no Cluster payaid-postgres in the namespace payaid")
	}
}
