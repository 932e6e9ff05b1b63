package check

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

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
