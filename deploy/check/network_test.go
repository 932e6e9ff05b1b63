package check

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// An end is who speaks or is spoken to: a pod, by its labels and its namespace, or an address outside.
type end struct {
	labels    map[string]string
	namespace string // "": payaid
	address   netip.Addr
}

func component(name string) end {
	return end{labels: map[string]string{"app.kubernetes.io/name": "payaid", "app.kubernetes.io/component": name}}
}
func named(name string) end { return end{labels: map[string]string{"app.kubernetes.io/name": name}} }
func outside(address string) end {
	return end{address: netip.MustParseAddr(address)}
}
func elsewhere(namespace string) end { return end{namespace: namespace, labels: map[string]string{}} }

var (
	postgresPod = end{labels: map[string]string{"cnpg.io/cluster": "payaid-postgres"}}
	// By which cert-manager proves whose a name is.
	solver = end{labels: map[string]string{"acme.cert-manager.io/http01-solver": "true"}}
	dns    = end{namespace: "kube-system", labels: map[string]string{"k8s-app": "kube-dns"}}
)

// allowed reports whether the policies let one end reach a port of another, by TCP. Both have to be willing, as far as
// they are pods of the namespace.
func (c *cluster) allowed(from, to end, port int) bool {
	egress, ingress := !from.ours(), !to.ours()
	for _, p := range c.policies {
		if from.ours() && selects(&p.Spec.PodSelector, from.labels) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			for _, r := range p.Spec.Egress {
				egress = egress || peers(r.To, to) && ports(r.Ports, port)
			}
		}
		if to.ours() && selects(&p.Spec.PodSelector, to.labels) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			for _, r := range p.Spec.Ingress {
				ingress = ingress || peers(r.From, from) && ports(r.Ports, port)
			}
		}
	}
	return egress && ingress
}

func (e end) ours() bool { return e.namespace == "" && !e.address.IsValid() }

// peers reports whether an end is one of those that a rule names; a rule that names nobody means everybody.
func peers(list []networkingv1.NetworkPolicyPeer, e end) bool {
	if len(list) == 0 {
		return true
	}
	for _, p := range list {
		switch {
		case p.IPBlock != nil:
			if e.address.IsValid() && inside(p.IPBlock, e.address) {
				return true
			}
		case e.address.IsValid():
		case p.NamespaceSelector == nil:
			if e.namespace == "" && selects(p.PodSelector, e.labels) {
				return true
			}
		default:
			namespace := map[string]string{"kubernetes.io/metadata.name": e.namespace}
			if e.namespace == "" {
				namespace["kubernetes.io/metadata.name"] = "payaid"
			}
			if selects(p.NamespaceSelector, namespace) && (p.PodSelector == nil || selects(p.PodSelector, e.labels)) {
				return true
			}
		}
	}
	return false
}

func inside(b *networkingv1.IPBlock, address netip.Addr) bool {
	if !netip.MustParsePrefix(b.CIDR).Contains(address) {
		return false
	}
	return !slices.ContainsFunc(b.Except, func(network string) bool { return netip.MustParsePrefix(network).Contains(address) })
}

func ports(list []networkingv1.NetworkPolicyPort, port int) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPort) bool {
		return *p.Port == intstr.FromInt(port)
	})
}

// Every arrow of the product's picture is let through, and what is no arrow isn't.
func TestKubernetesArrows(t *testing.T) {
	eachOverlay(t, func(t *testing.T, overlay string, c *cluster) {
		postgres := postgresPod
		if overlay == "small" {
			postgres = outside("10.1.2.3")
		}
		type arrow struct {
			from, to end
			port     int
		}
		api, relay, migrate := component("api"), component("relay"), component("migrate")
		var lets, bars []arrow
		processes := []end{api, relay}
		for _, q := range queues(t) {
			processes = append(processes, component("worker-"+q))
		}
		for _, p := range processes {
			lets = append(lets, arrow{p, postgres, 5432}, arrow{p, named("nats"), 4222}, arrow{p, named("redis"), 6379},
				arrow{p, dns, 53}, arrow{elsewhere("monitoring"), p, 9464})
			bars = append(bars, arrow{p, outside("169.254.169.254"), 80}, arrow{p, outside("10.96.0.1"), 443},
				arrow{elsewhere("default"), p, 9464}, arrow{outside("203.0.113.7"), p, 9464}, arrow{p, named("nats"), 8222})
		}
		lets = append(lets, arrow{migrate, postgres, 5432}, arrow{migrate, dns, 53},
			arrow{elsewhere("ingress-nginx"), api, 8080},
			arrow{component("worker-ai"), named("ollama"), 11434}, arrow{component("worker-maintenance"), named("ollama"), 11434},
			arrow{component("worker-ai"), outside("104.18.2.3"), 443}, arrow{component("worker-maintenance"), outside("52.95.1.1"), 443},
			arrow{component("worker-mail"), outside("203.0.113.25"), 587}, arrow{component("worker-mail"), outside("10.0.0.25"), 465},
			arrow{outside("10.0.0.25"), component("worker-mail"), 2424},
			arrow{component("worker-webhook"), outside("203.0.113.80"), 443}, arrow{component("worker-webhook"), outside("203.0.113.80"), 8443},
			arrow{component("worker-webhook"), outside("2a00:1450::1"), 443},
			arrow{elsewhere("ingress-nginx"), solver, 8089}, arrow{solver, dns, 53},
			arrow{elsewhere("monitoring"), named("nats"), 8222}, arrow{named("ollama"), outside("104.18.2.3"), 443})
		bars = append(bars, arrow{migrate, named("nats"), 4222}, arrow{migrate, outside("203.0.113.80"), 443},
			arrow{elsewhere("default"), api, 8080}, arrow{elsewhere("monitoring"), api, 8080},
			arrow{api, outside("203.0.113.80"), 443}, arrow{relay, outside("203.0.113.80"), 443}, arrow{component("worker-cache"), outside("203.0.113.80"), 443},
			arrow{api, named("ollama"), 11434}, arrow{component("worker-mail"), named("ollama"), 11434},
			arrow{component("worker-mail"), outside("203.0.113.25"), 443}, arrow{outside("203.0.113.25"), component("worker-mail"), 2424},
			arrow{component("worker-ai"), outside("203.0.113.25"), 25}, arrow{named("ollama"), postgres, 5432}, arrow{named("redis"), outside("203.0.113.1"), 443},
			arrow{elsewhere("default"), solver, 8089}, arrow{elsewhere("ingress-nginx"), solver, 8080}, arrow{solver, outside("203.0.113.80"), 443},
			arrow{relay, elsewhere("observability"), 4318},
			arrow{component("worker-webhook"), api, 8080}, arrow{elsewhere("default"), named("nats"), 4222}, arrow{elsewhere("default"), named("redis"), 6379})
		for _, address := range []string{"10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.1", "192.168.1.1",
			"::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "224.0.0.1", "0.0.0.0"} {
			bars = append(bars, arrow{component("worker-webhook"), outside(address), 443}, arrow{component("worker-ai"), outside(address), 443})
		}
		if overlay == "ha" {
			lets = append(lets, arrow{named("nats"), named("nats"), 6222}, arrow{api, named("redis"), 26379}, arrow{named("redis"), named("redis"), 6379},
				arrow{named("redis"), named("redis"), 26379}, arrow{postgresPod, postgresPod, 5432}, arrow{elsewhere("keda"), postgresPod, 5432},
				arrow{elsewhere("cnpg-system"), postgresPod, 8000})
			bars = append(bars, arrow{api, named("nats"), 6222}, arrow{elsewhere("default"), postgresPod, 5432}, arrow{outside("203.0.113.1"), postgresPod, 5432})
		}
		for _, a := range lets {
			if !c.allowed(a.from, a.to, a.port) {
				t.Errorf("%v does not reach %v at %d", a.from, a.to, a.port)
			}
		}
		for _, a := range bars {
			if c.allowed(a.from, a.to, a.port) {
				t.Errorf("%v reaches %v at %d", a.from, a.to, a.port)
			}
		}
	})
}

// An overlay that takes the component tracing lets every process reach the collector that it names.
func TestKubernetesTracing(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		text, err := build(overlay, func(text string) string {
			return strings.Replace(text, "\ncomponents:\n", "\ncomponents:\n  - ../../components/tracing\n", 1)
		})
		if err != nil {
			t.Fatal(err)
		}
		c := read(t, text)
		for name, pod := range c.ours() {
			if strings.HasPrefix(name, "Job/") {
				continue
			}
			at, err := url.Parse(c.environment(t, pod.Spec)["OTEL_EXPORTER_OTLP_ENDPOINT"])
			if err != nil || at.Port() != "4318" {
				t.Errorf("%s: %s sends its traces to %v (%v)", overlay, name, at, err)
				continue
			}
			_, namespace, _ := strings.Cut(at.Hostname(), ".")
			if !c.allowed(end{labels: pod.Labels}, elsewhere(namespace), 4318) {
				t.Errorf("%s: %s doesn't reach %s", overlay, name, at)
			}
		}
	}
}
