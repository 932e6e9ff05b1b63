package check

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "make the files that are made from others")

const kubernetes = root + "/deploy/kubernetes/"

var overlays = []string{"small", "ha"}

// cluster is what an overlay puts into a cluster, by kind and name.
type cluster struct {
	deployments  map[string]*appsv1.Deployment
	sets         map[string]*appsv1.StatefulSet
	jobs         map[string]*batchv1.Job
	services     map[string]*corev1.Service
	settings     map[string]*corev1.ConfigMap
	secrets      map[string]*corev1.Secret
	volumes      map[string]*corev1.PersistentVolumeClaim
	accounts     map[string]*corev1.ServiceAccount
	namespaces   map[string]*corev1.Namespace
	policies     map[string]*networkingv1.NetworkPolicy
	ingresses    map[string]*networkingv1.Ingress
	disruptions  map[string]*policyv1.PodDisruptionBudget
	scalers      map[string]*autoscalingv2.HorizontalPodAutoscaler
	customs      map[string]map[string]any // KIND/NAME
	customGroups map[string]string         // KIND/NAME to apiVersion
}

// build makes what `kubectl apply -k` would apply, of an overlay whose secrets are the example's, after its owner has edited
// kustomization.yaml.
func build(overlay string, edits ...func(text string) string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "payaid-kustomize")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(filepath.Join(dir, "k"), os.DirFS(kubernetes)); err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "k", "overlays", overlay)
	if err := os.RemoveAll(filepath.Join(folder, "secrets")); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(folder, "secrets.example"), filepath.Join(folder, "secrets")); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "kustomization.yaml")
	for _, edit := range edits {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(edit(string(text))), 0o600); err != nil {
			return nil, err
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return built.AsYaml()
}

var builtOverlays = map[string]func() ([]byte, error){
	"small": sync.OnceValues(func() ([]byte, error) { return build("small") }),
	"ha":    sync.OnceValues(func() ([]byte, error) { return build("ha") }),
}

// eachOverlay runs a test on each of them.
func eachOverlay(t *testing.T, test func(t *testing.T, overlay string, c *cluster)) {
	t.Parallel()
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			t.Parallel()
			text, err := builtOverlays[overlay]()
			if err != nil {
				t.Fatalf("kustomize build overlays/%s: %v", overlay, err)
			}
			test(t, overlay, read(t, text))
		})
	}
}

// read decodes as Kubernetes does when it is asked to be strict: a field that it doesn't know is a mistake, and so is one in
// other letters.
func read(t *testing.T, text []byte) *cluster {
	t.Helper()
	c := &cluster{customs: make(map[string]map[string]any), customGroups: make(map[string]string)}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head struct {
			APIVersion string
			Kind       string
			Metadata   struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if head.Metadata.Namespace != "payaid" && head.Kind != "Namespace" {
			t.Errorf("%s %s is in the namespace %q", head.Kind, head.Metadata.Name, head.Metadata.Namespace)
		}
		decode := map[string]func() error{
			"apps/v1 Deployment":                     into(&c.deployments, head.Metadata.Name, document),
			"apps/v1 StatefulSet":                    into(&c.sets, head.Metadata.Name, document),
			"batch/v1 Job":                           into(&c.jobs, head.Metadata.Name, document),
			"v1 Service":                             into(&c.services, head.Metadata.Name, document),
			"v1 ConfigMap":                           into(&c.settings, head.Metadata.Name, document),
			"v1 Secret":                              into(&c.secrets, head.Metadata.Name, document),
			"v1 PersistentVolumeClaim":               into(&c.volumes, head.Metadata.Name, document),
			"v1 ServiceAccount":                      into(&c.accounts, head.Metadata.Name, document),
			"v1 Namespace":                           into(&c.namespaces, head.Metadata.Name, document),
			"networking.k8s.io/v1 NetworkPolicy":     into(&c.policies, head.Metadata.Name, document),
			"networking.k8s.io/v1 Ingress":           into(&c.ingresses, head.Metadata.Name, document),
			"policy/v1 PodDisruptionBudget":          into(&c.disruptions, head.Metadata.Name, document),
			"autoscaling/v2 HorizontalPodAutoscaler": into(&c.scalers, head.Metadata.Name, document),
		}[head.APIVersion+" "+head.Kind]
		if decode == nil {
			name := head.Kind + "/" + head.Metadata.Name
			var object map[string]any
			if err := yaml.UnmarshalStrict(document, &object); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			c.customs[name], c.customGroups[name] = object, head.APIVersion
			continue
		}
		if err := decode(); err != nil {
			t.Errorf("%s %s: %v", head.Kind, head.Metadata.Name, err)
		}
	}
	return c
}

func into[T any](all *map[string]*T, name string, document []byte) func() error {
	return func() error {
		if *all == nil {
			*all = make(map[string]*T)
		}
		object := new(T)
		(*all)[name] = object
		text, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return err
		}
		unknown, err := json.UnmarshalStrict(text, object)
		return errors.Join(append(unknown, err)...)
	}
}

// pods are the templates of pods by the name of what makes them, KIND/NAME.
func (c *cluster) pods() map[string]corev1.PodTemplateSpec {
	all := make(map[string]corev1.PodTemplateSpec)
	for name, d := range c.deployments {
		all["Deployment/"+name] = d.Spec.Template
	}
	for name, s := range c.sets {
		all["StatefulSet/"+name] = s.Spec.Template
	}
	for name, j := range c.jobs {
		all["Job/"+name] = j.Spec.Template
	}
	return all
}

// ours are the pods of the product.
func (c *cluster) ours() map[string]corev1.PodTemplateSpec {
	all := c.pods()
	maps.DeleteFunc(all, func(_ string, pod corev1.PodTemplateSpec) bool {
		return pod.Labels["app.kubernetes.io/name"] != "payaid"
	})
	return all
}

// The decoder is as strict as it has to be: what Kubernetes doesn't know is found.
func TestKubernetesIsReadStrictly(t *testing.T) {
	t.Parallel()
	text, err := builtOverlays["small"]()
	if err != nil {
		t.Fatal(err)
	}
	var deployment []byte
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("\nkind: Deployment\n")) {
			deployment = document
		}
	}
	spoilt := bytes.Replace(deployment, []byte("readOnlyRootFilesystem:"), []byte("readonlyRootFilesystem:"), 1)
	if err := into(new(map[string]*appsv1.Deployment), "x", spoilt)(); err == nil || !strings.Contains(err.Error(), "readonlyRootFilesystem") {
		t.Errorf("a field that nobody knows is taken: %v", err)
	}
}

// The alerts in the cluster are those of deploy/prometheus.
func TestKubernetesAlerts(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(root + "/deploy/prometheus/payaid.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, groups, found := strings.Cut(string(rules), "\ngroups:")
	if !found {
		t.Fatal("there are no groups of rules")
	}
	var b strings.Builder
	b.WriteString("# Made from deploy/prometheus/payaid.rules.yml by `go test ./... -update` in deploy/check; change it there.\n" +
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: payaid\nspec:\n")
	for line := range strings.Lines("groups:" + groups) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	path := kubernetes + "components/monitoring/rules.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != b.String() {
		t.Errorf("%s is not deploy/prometheus/payaid.rules.yml any more: go test ./... -run Alerts -update (%v)", path, err)
	}
}
