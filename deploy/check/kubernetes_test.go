package check

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Every container of every pod, ours or not, may do little, has its share, and is asked how it does.
func TestKubernetesPodsAreRestricted(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		for name, pod := range c.pods() {
			restricted(t, name, pod.Spec)
		}
		for name, n := range c.namespaces {
			if n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("namespace %s does not refuse other pods", name)
			}
		}
		for name, a := range c.accounts {
			if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
				t.Errorf("service account %s hands out tokens", name)
			}
		}
	})
}

func restricted(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the pod's security context is %+v", name, s)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.ServiceAccountName != "payaid" {
		t.Errorf("%s has a token", name)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Errorf("%s is in the node's namespaces", name)
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			t.Errorf("%s mounts %s of the node", name, v.HostPath.Path)
		}
	}
	for _, k := range slices.Concat(pod.InitContainers, pod.Containers) {
		name := name + "/" + k.Name
		cs := k.SecurityContext
		if cs == nil || cs.AllowPrivilegeEscalation == nil || *cs.AllowPrivilegeEscalation || cs.ReadOnlyRootFilesystem == nil ||
			!*cs.ReadOnlyRootFilesystem || cs.Capabilities == nil || !slices.Contains(cs.Capabilities.Drop, "ALL") || len(cs.Capabilities.Add) > 0 {
			t.Errorf("%s: the security context is %+v", name, cs)
		}
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := k.Resources.Requests[r], k.Resources.Limits[r]
			if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
				t.Errorf("%s: %s: %s requested, %s at most", name, r, request.String(), limit.String())
			}
		}
		if _, tag, ok := strings.Cut(k.Image[strings.LastIndex(k.Image, "/")+1:], ":"); !ok || tag == "latest" {
			t.Errorf("%s: image %s is not pinned", name, k.Image)
		}
		for _, p := range []*corev1.Probe{k.StartupProbe, k.LivenessProbe, k.ReadinessProbe} {
			if pod.RestartPolicy == corev1.RestartPolicyOnFailure {
				continue // it ends by itself
			}
			if p == nil {
				t.Errorf("%s lacks a probe", name)
				continue
			}
			probed(t, name, k, p)
		}
	}
}

// probed holds a probe against the ports of its container.
func probed(t *testing.T, name string, k corev1.Container, p *corev1.Probe) {
	t.Helper()
	var port intstr.IntOrString
	switch {
	case p.HTTPGet != nil:
		port = p.HTTPGet.Port
	case p.TCPSocket != nil:
		port = p.TCPSocket.Port
	default:
		t.Errorf("%s: a probe that asks nothing: %+v", name, p)
	}
	if !slices.ContainsFunc(k.Ports, func(have corev1.ContainerPort) bool { return have.Name == port.String() }) {
		t.Errorf("%s is probed at %s, which is no port of it", name, port.String())
	}
}

// environment is what a container is given: values, and for what comes from elsewhere where from.
func (c *cluster) environment(t *testing.T, pod corev1.PodSpec) map[string]string {
	t.Helper()
	all := make(map[string]string)
	k := pod.Containers[0]
	for _, from := range k.EnvFrom {
		m := c.settings[from.ConfigMapRef.Name]
		if m == nil {
			t.Fatalf("there is no ConfigMap %s", from.ConfigMapRef.Name)
		}
		maps.Copy(all, m.Data)
	}
	for _, e := range k.Env {
		all[e.Name] = e.Value
	}
	return all
}

// Every setting is one that the product reads, every secret is mounted where its setting says, and nothing that
// one process alone needs is given to others.
func TestKubernetesSettings(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		all := []string{"api", "relay", "worker"}
		for name, m := range c.settings {
			if !strings.HasPrefix(name, "payaid-settings-") {
				continue
			}
			for variable := range m.Data {
				if !slices.ContainsFunc(all, func(command string) bool { return isSetting(t, variable, command) }) {
					t.Errorf("%s sets %s, which nothing reads", name, variable)
				}
			}
		}
		for name, pod := range c.ours() {
			k := pod.Spec.Containers[0]
			command := k.Args[:1]
			if command[0] == "migrate" {
				command = k.Args[:2]
			}
			for _, e := range k.Env {
				if e.Name != "GOMEMLIMIT" && !isSetting(t, e.Name, command...) {
					t.Errorf("%s sets %s, which payaid %v doesn't read", name, e.Name, command)
				}
				if strings.HasSuffix(e.Name, "_FILE") && !c.mounted(k, pod.Spec, e.Value) {
					t.Errorf("%s: %s=%s is mounted by nothing", name, e.Name, e.Value)
				}
			}
			for variable := range c.environment(t, pod.Spec) {
				if regexp.MustCompile(`^(SMTP|LMTP|MAIL)_`).MatchString(variable) && !strings.HasSuffix(name, "/payaid-worker-mail") {
					t.Errorf("%s is told %s, which is for worker-mail alone", name, variable)
				}
			}
			for _, arg := range k.Args {
				if strings.HasPrefix(arg, "--") && !strings.Contains(help(t, command...), arg+"=") {
					t.Errorf("%s: payaid %v doesn't take %s", name, command, arg)
				}
			}
		}
	})
}

// mounted reports whether a path is a key of a Secret that the pod mounts, and that is there.
func (c *cluster) mounted(k corev1.Container, pod corev1.PodSpec, path string) bool {
	for _, m := range k.VolumeMounts {
		key, inside := strings.CutPrefix(path, m.MountPath+"/")
		if !inside || !m.ReadOnly {
			continue
		}
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.Secret != nil && c.secrets[v.Secret.SecretName] != nil {
				_, ok := c.secrets[v.Secret.SecretName].Data[key]
				return ok
			}
		}
	}
	return false
}

// There is one process type for each queue, no more, and it works that one.
func TestKubernetesQueues(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		want := []string{"Deployment/payaid-api", "Deployment/payaid-relay", "Job/payaid-migrate"}
		for _, q := range queues(t) {
			name := "Deployment/payaid-worker-" + q
			want = append(want, name)
			args := c.pods()[name].Spec.Containers[0].Args
			if queue, _, _ := strings.Cut(args[2], ":"); len(args) != 3 || queue != q {
				t.Errorf("%s works %q", name, args)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(c.ours())); !slices.Equal(got, want) {
			t.Errorf("the product is %q, want %q", got, want)
		}
	})
}

// apiDrain is how long the API lets requests go on when it is told to stop.
const apiDrain = 15 * time.Second

// Each pod has the time to end that its process takes, and ten seconds.
func TestKubernetesStopsInTime(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		for name, pod := range c.ours() {
			environment := c.environment(t, pod.Spec)
			got := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
			switch {
			case strings.Contains(name, "worker-"):
				if want := stopGrace(t, environment) + 10*time.Second; got != want {
					t.Errorf("%s is killed after %s, want %s", name, got, want)
				}
			case strings.HasSuffix(name, "payaid-api"):
				pause, err := time.ParseDuration(environment["DRAIN_PAUSE"])
				if want := pause + apiDrain + 10*time.Second; err != nil || pause < 5*time.Second || got < want {
					t.Errorf("%s is killed after %s, want %s; its pause is %s", name, got, want, pause)
				}
			case got < 30*time.Second:
				t.Errorf("%s is killed after %s", name, got)
			}
		}
	})
}

func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labelSet(labels))
}

type labelSet map[string]string

func (l labelSet) Has(key string) bool              { _, ok := l[key]; return ok }
func (l labelSet) Get(key string) string            { return l[key] }
func (l labelSet) Lookup(key string) (string, bool) { v, ok := l[key]; return v, ok }

// Whatever selects pods selects those that it means, and whatever names a port names one that they have.
func TestKubernetesSelectors(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		pods := c.pods()
		for name, d := range c.deployments {
			if !selects(d.Spec.Selector, d.Spec.Template.Labels) {
				t.Errorf("Deployment %s does not select its own pods", name)
			}
			if n := len(selected(pods, d.Spec.Selector)); n != 1 {
				t.Errorf("Deployment %s selects the pods of %d", name, n)
			}
		}
		for name, s := range c.sets {
			if !selects(s.Spec.Selector, s.Spec.Template.Labels) || c.services[s.Spec.ServiceName] == nil {
				t.Errorf("StatefulSet %s: its pods or its service are missing", name)
			}
		}
		for name, s := range c.services {
			behind := selected(pods, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			if len(behind) != 1 {
				t.Errorf("Service %s has the pods of %q behind it", name, behind)
				continue
			}
			for _, p := range s.Spec.Ports {
				if !hasPort(pods[behind[0]].Spec, p.TargetPort.String()) {
					t.Errorf("Service %s leads to %s, which is no port of %s", name, p.TargetPort.String(), behind[0])
				}
			}
		}
		for name, d := range c.disruptions {
			if len(selected(pods, d.Spec.Selector)) != 1 {
				t.Errorf("PodDisruptionBudget %s is about %q", name, selected(pods, d.Spec.Selector))
			}
		}
		for name, i := range c.ingresses {
			backend := i.Spec.Rules[0].HTTP.Paths[0].Backend.Service
			service := c.services[backend.Name]
			if service == nil || service.Spec.Ports[0].Name != backend.Port.Name {
				t.Errorf("Ingress %s leads nowhere", name)
			}
		}
	})
}

func selected(pods map[string]corev1.PodTemplateSpec, selector *metav1.LabelSelector) []string {
	var names []string
	for name, pod := range pods {
		if selects(selector, pod.Labels) {
			names = append(names, name)
		}
	}
	return names
}

func hasPort(pod corev1.PodSpec, port string) bool {
	for _, k := range pod.Containers {
		if slices.ContainsFunc(k.Ports, func(p corev1.ContainerPort) bool { return p.Name == port }) {
			return true
		}
	}
	return false
}

// What can't be there twice is replaced, not rolled, and what a pod mounts is there.
func TestKubernetesVolumes(t *testing.T) {
	eachOverlay(t, func(t *testing.T, _ string, c *cluster) {
		for name, d := range c.deployments {
			for _, v := range d.Spec.Template.Spec.Volumes {
				if v.PersistentVolumeClaim == nil {
					continue
				}
				if c.volumes[v.PersistentVolumeClaim.ClaimName] == nil {
					t.Errorf("%s mounts %s, which is not there", name, v.PersistentVolumeClaim.ClaimName)
				}
				if d.Spec.Strategy.Type != "Recreate" || d.Spec.Replicas == nil || *d.Spec.Replicas != 1 {
					t.Errorf("%s has a volume for one node, and may be there twice", name)
				}
			}
		}
		for name, pod := range c.pods() {
			for _, v := range pod.Spec.Volumes {
				for _, missing := range c.missing(v) {
					t.Errorf("%s mounts %s, which is not there", name, missing)
				}
			}
		}
	})
}

// missing are the Secrets and ConfigMaps of a volume that nothing makes.
func (c *cluster) missing(v corev1.Volume) (names []string) {
	secret := func(name string) {
		if c.secrets[name] == nil {
			names = append(names, "Secret "+name)
		}
	}
	settings := func(name string) {
		if c.settings[name] == nil {
			names = append(names, "ConfigMap "+name)
		}
	}
	if v.Secret != nil {
		secret(v.Secret.SecretName)
	}
	if v.ConfigMap != nil {
		settings(v.ConfigMap.Name)
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				secret(s.Secret.Name)
			}
			if s.ConfigMap != nil {
				settings(s.ConfigMap.Name)
			}
		}
	}
	return names
}
