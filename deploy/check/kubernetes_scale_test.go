package check

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// However many processes there are, Postgres has connections for all of them.
func TestKubernetesConnections(t *testing.T) {
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		most := c.replicas()
		sum := 0
		for name, pod := range c.ours() {
			if strings.HasPrefix(name, "Job/") {
				continue
			}
			environment := c.environment(t, pod.Spec)
			size, errSize := strconv.Atoi(environment["DB_POOL_SIZE"])
			overflow, errOverflow := strconv.Atoi(environment["DB_POOL_OVERFLOW"])
			if errSize != nil || errOverflow != nil {
				t.Errorf("%s has no pool of its own", name)
			}
			each := size + overflow
			switch {
			case strings.Contains(name, "worker"):
				each = 2*each + 3
			case strings.HasSuffix(name, "relay"):
				each = min(4, each) + 1
			}
			sum += each * most[name]
		}
		limit := 100 // what Postgres has unless it is told otherwise
		if postgres := c.customs["Cluster/payaid-postgres"]; postgres != nil {
			parameters := postgres["spec"].(map[string]any)["postgresql"].(map[string]any)["parameters"].(map[string]any)
			limit, _ = strconv.Atoi(parameters["max_connections"].(string))
		} else {
			limit = 200 // README.md says so
		}
		const others = 50 // superusers, copies, operators, backups, KEDA, and a rollout's second pods
		t.Logf("%s: %d connections of %d", overlay, sum, limit)
		if sum+others > limit {
			t.Errorf("%d processes' connections and %d others are more than %d", sum, others, limit)
		}
	})
}

// replicas are how many of each there may be at most.
func (c *cluster) replicas() map[string]int {
	most := make(map[string]int)
	for name, d := range c.deployments {
		most["Deployment/"+name] = 1
		if d.Spec.Replicas != nil {
			most["Deployment/"+name] = int(*d.Spec.Replicas)
		}
	}
	for _, s := range c.scalers {
		most["Deployment/"+s.Spec.ScaleTargetRef.Name] = int(s.Spec.MaxReplicas)
	}
	for name, object := range c.customs {
		if strings.HasPrefix(name, "ScaledObject/") {
			spec := object["spec"].(map[string]any)
			most["Deployment/"+spec["scaleTargetRef"].(map[string]any)["name"].(string)] = int(spec["maxReplicaCount"].(float64))
		}
	}
	return most
}

// Who scales something is the only one to say how many there are, never fewer than one, and scales what is there.
func TestKubernetesScaling(t *testing.T) {
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		scaled := make(map[string]int)
		for _, s := range c.scalers {
			scaled[s.Spec.ScaleTargetRef.Name] = int(*s.Spec.MinReplicas)
		}
		for name, object := range c.customs {
			if strings.HasPrefix(name, "ScaledObject/") {
				spec := object["spec"].(map[string]any)
				scaled[spec["scaleTargetRef"].(map[string]any)["name"].(string)] = int(spec["minReplicaCount"].(float64))
			}
		}
		for name, least := range scaled {
			d := c.deployments[name]
			if d == nil || d.Spec.Replicas != nil || least < 1 {
				t.Errorf("%s is scaled from %d, and its Deployment is %v", name, least, d)
			}
		}
		want := []string{"payaid-api"}
		for _, q := range queues(t) {
			if q != "maintenance" {
				want = append(want, "payaid-worker-"+q)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(scaled)); overlay == "ha" && !slices.Equal(got, want) {
			t.Errorf("%q are scaled, want %q", got, want)
		}
		if overlay != "ha" {
			return
		}
		for _, name := range []string{"payaid-api", "payaid-relay", "nats", "redis"} {
			if c.disruptions[name] == nil {
				t.Errorf("all of %s may be taken away at once", name)
			}
		}
	})
}
