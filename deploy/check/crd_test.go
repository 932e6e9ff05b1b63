package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// Where the schemas of others' kinds are: files of their operators' own modules, which are looked at and not compiled.
var schemas = map[string]struct{ module, path string }{
	"ScaledObject":          {"github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"},
	"TriggerAuthentication": {"github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_triggerauthentications.yaml"},
	"PodMonitor":            {"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
	"PrometheusRule":        {"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
}

// moduleDir gets a module from the module proxy.
var moduleDir = func() func(string) (string, error) {
	var mu sync.Mutex
	known := make(map[string]string)
	return func(module string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if dir, ok := known[module]; ok {
			return dir, nil
		}
		out, err := exec.Command("go", "mod", "download", "-json", module).Output()
		if err != nil {
			return "", fmt.Errorf("download %s: %w\n%s", module, err, out)
		}
		var answer struct{ Dir string }
		if err := json.Unmarshal(out, &answer); err != nil {
			return "", err
		}
		known[module] = answer.Dir
		return answer.Dir, nil
	}
}()

// schemaOf is the schema of one version of a kind.
func schemaOf(t *testing.T, kind, version string) map[string]any {
	t.Helper()
	at, ok := schemas[kind]
	if !ok {
		t.Fatalf("nobody knows the kind %s", kind)
	}
	dir, err := moduleDir(at.module)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, at.path))
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &definition); err != nil {
		t.Fatal(err)
	}
	for _, v := range definition.Spec.Versions {
		if v.Name == version {
			return v.Schema.OpenAPIV3Schema
		}
	}
	t.Fatalf("%s has no version %s", kind, version)
	return nil
}

// faults is what a structural schema has against a value. Fields that it doesn't know are faults, though a server would
// only drop them.
func faults(schema map[string]any, value any, at string) (list []string) {
	add := func(format string, args ...any) { list = append(list, at+": "+fmt.Sprintf(format, args...)) }
	if schema["x-kubernetes-int-or-string"] == true {
		if _, object := value.(map[string]any); object {
			add("want a number or a string")
		}
		return list
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.ContainsFunc(enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		add("%v is none of %v", value, enum)
	}
	switch v := value.(type) {
	case map[string]any:
		if schema["type"] != "object" {
			add("an object, want %v", schema["type"])
			return list
		}
		return append(list, objectFaults(schema, v, at)...)
	case []any:
		items, ok := schema["items"].(map[string]any)
		if schema["type"] != "array" || !ok {
			add("a list, want %v", schema["type"])
			return list
		}
		for i, one := range v {
			list = append(list, faults(items, one, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case string:
		if schema["type"] != "string" {
			add("a string, want %v", schema["type"])
		}
		if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
			add("%q is not like %s", v, pattern)
		}
	case bool:
		if schema["type"] != "boolean" {
			add("a truth, want %v", schema["type"])
		}
	case float64:
		if schema["type"] != "integer" && schema["type"] != "number" {
			add("a number, want %v", schema["type"])
		}
		if least, ok := schema["minimum"].(float64); ok && v < least {
			add("%v is less than %v", v, least)
		}
	default:
		add("nothing")
	}
	return list
}

func objectFaults(schema, value map[string]any, at string) (list []string) {
	properties, _ := schema["properties"].(map[string]any)
	others, _ := schema["additionalProperties"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(value)) {
		under := at + "." + key
		switch {
		case properties[key] != nil:
			list = append(list, faults(properties[key].(map[string]any), value[key], under)...)
		case others != nil:
			list = append(list, faults(others, value[key], under)...)
		case schema["x-kubernetes-preserve-unknown-fields"] == true, at == "" && key == "metadata":
		case properties == nil && others == nil && at == ".metadata":
		default:
			list = append(list, under+": nobody knows it")
		}
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := value[key.(string)]; !ok {
			list = append(list, at+"."+key.(string)+": is missing")
		}
	}
	return list
}

// Kinds of other operators are what these operators' own schemas want.
func TestKubernetesCustomKinds(t *testing.T) {
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		seen := make(map[string]int)
		for name, object := range c.customs {
			kind, _, _ := strings.Cut(name, "/")
			seen[kind]++
			if kind == "Cluster" {
				continue // below
			}
			_, version, _ := strings.Cut(c.customGroups[name], "/")
			for _, fault := range faults(schemaOf(t, kind, version), object, "") {
				t.Errorf("%s%s", name, fault)
			}
		}
		if overlay == "ha" && (seen["ScaledObject"] != 4 || seen["PodMonitor"] != 1 || seen["PrometheusRule"] != 1 || seen["TriggerAuthentication"] != 1) {
			t.Errorf("of each kind: %v", seen)
		}
	})
}

// The check above finds what it is for.
func TestCustomKindsAreReadStrictly(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, "ScaledObject", "v1alpha1")
	for name, spoilt := range map[string]string{
		".spec.minReplicas: nobody knows it":   `{spec: {scaleTargetRef: {name: x}, triggers: [], minReplicas: 1}}`,
		".spec.scaleTargetRef: is missing":     `{spec: {triggers: []}}`,
		".spec.pollingInterval: a string":      `{spec: {scaleTargetRef: {name: x}, triggers: [], pollingInterval: "15"}}`,
		".spec.triggers[0].type: is missing":   `{spec: {scaleTargetRef: {name: x}, triggers: [{metadata: {}}]}}`,
		".spec.triggers[0].metadata.a: a numb": `{spec: {scaleTargetRef: {name: x}, triggers: [{type: postgresql, metadata: {a: 1}}]}}`,
	} {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(spoilt), &object); err != nil {
			t.Fatal(err)
		}
		if got := faults(schema, object, ""); !slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, name) }) {
			t.Errorf("want %q, got %q", name, got)
		}
	}
}

// What of CloudNativePG's Cluster is used, as its documentation has it.
type postgresCluster struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       struct {
		Instances             int    `json:"instances"`
		ImageName             string `json:"imageName"`
		EnableSuperuserAccess bool   `json:"enableSuperuserAccess"`
		PostgreSQL            struct {
			Synchronous struct {
				Method         string `json:"method"`
				Number         int    `json:"number"`
				DataDurability string `json:"dataDurability"`
			} `json:"synchronous"`
			Parameters map[string]string `json:"parameters"`
		} `json:"postgresql"`
		Bootstrap struct {
			InitDB struct {
				Database               string     `json:"database"`
				Owner                  string     `json:"owner"`
				Encoding               string     `json:"encoding"`
				LocaleCollate          string     `json:"localeCollate"`
				LocaleCType            string     `json:"localeCType"`
				DataChecksums          bool       `json:"dataChecksums"`
				Secret                 secretName `json:"secret"`
				PostInitApplicationSQL []string   `json:"postInitApplicationSQL"`
			} `json:"initdb"`
		} `json:"bootstrap"`
		Managed struct {
			Roles []postgresRole `json:"roles"`
		} `json:"managed"`
		Storage    volumeSize                   `json:"storage"`
		WALStorage volumeSize                   `json:"walStorage"`
		Resources  map[string]map[string]string `json:"resources"`
		Affinity   struct {
			EnablePodAntiAffinity bool   `json:"enablePodAntiAffinity"`
			PodAntiAffinityType   string `json:"podAntiAffinityType"`
			TopologyKey           string `json:"topologyKey"`
		} `json:"affinity"`
		StopDelay       int `json:"stopDelay"`
		SwitchoverDelay int `json:"switchoverDelay"`
	} `json:"spec"`
}

type volumeSize struct {
	Size string `json:"size"`
}

type secretName struct {
	Name string `json:"name"`
}

type postgresRole struct {
	Name            string     `json:"name"`
	Ensure          string     `json:"ensure"`
	Login           bool       `json:"login"`
	Superuser       bool       `json:"superuser"`
	Inherit         *bool      `json:"inherit"`
	InRoles         []string   `json:"inRoles"`
	ConnectionLimit int        `json:"connectionLimit"`
	PasswordSecret  secretName `json:"passwordSecret"`
}

// Every login that an address of the product names is one that the cluster makes, with the Secret of its password there
// under the same name; and the processes' one is no owner.
func TestKubernetesPostgres(t *testing.T) {
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		object := c.customs["Cluster/payaid-postgres"]
		if object == nil {
			if overlay == "ha" {
				t.Error("there is no Postgres")
			}
			return
		}
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		clusters := make(map[string]*postgresCluster)
		if err := into(&clusters, "", text)(); err != nil {
			t.Fatal(err)
		}
		spec := clusters[""].Spec
		if sql := strings.Join(spec.Bootstrap.InitDB.PostInitApplicationSQL, "\n"); !strings.Contains(sql, "ALTER ROLE "+spec.Bootstrap.InitDB.Owner+" CREATEROLE") {
			t.Errorf("the first migration, which says CREATE ROLE, is refused: %s", sql)
		}
		logins := map[string]string{spec.Bootstrap.InitDB.Owner: spec.Bootstrap.InitDB.Secret.Name}
		for _, role := range spec.Managed.Roles {
			logins[role.Name] = role.PasswordSecret.Name
			if role.Name == "payaid_service" && (role.Superuser || role.Inherit == nil || *role.Inherit) {
				t.Errorf("the processes log in as %+v", role)
			}
		}
		for login, secret := range logins {
			s := c.secrets[secret]
			if s == nil || string(s.Data["username"]) != login || strings.Contains(string(s.Data["password"]), "\n") || s.Type != "kubernetes.io/basic-auth" {
				t.Errorf("the password of %s is in %s: %+v", login, secret, s)
			}
		}
		address := regexp.MustCompile(`^postgres://(\w+):`)
		for _, at := range []struct{ secret, key, want string }{
			{"payaid-services-", "database_url", "payaid_service"}, {"payaid-owner-", "database_url", "payaid_owner"}, {"payaid-backup-", "database_url", "payaid_backup"},
		} {
			for name, s := range c.secrets {
				if strings.HasPrefix(name, at.secret) {
					if m := address.FindSubmatch(s.Data[at.key]); m == nil || string(m[1]) != at.want || logins[at.want] == "" {
						t.Errorf("%s of %s logs in as %s, want %s", at.key, name, m, at.want)
					}
				}
			}
		}
	})
}
