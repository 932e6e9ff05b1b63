package localstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServers is the smallest number of which one may be away.
const natsServers = 3

// NATSCluster is three NATS servers that keep copies of each other's streams, for tests that take them
// away. Each is a process of its own in a folder of its own.
type NATSCluster struct {
	binary  string
	members []*member
	links   map[[2]int]*link // from a server to another
}

// member is one server of a cluster, alive or not.
type member struct {
	name    string
	dir     string
	url     string
	monitor string // URL
	config  string // file
	o       NATSOptions

	running *Process // nil: it is away
}

// StartNATSCluster starts three servers and returns when they agree on who leads them. What they have
// acknowledged is on the disks of two. It needs what StartNATSProcess needs; o.Port must be 0.
func StartNATSCluster(ctx context.Context, o NATSOptions) (*NATSCluster, error) {
	if err := checkNATSVersion(server.VERSION); err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	binary, err := buildNATSServer(ctx)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	c := &NATSCluster{binary: binary}
	if err := c.configure(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start nats: %w", err), c.unlink())
	}
	for i := range c.members {
		if err == nil {
			err = c.StartServer(ctx, i)
		}
	}
	if err == nil {
		err = c.WaitReady(ctx)
	}
	if err != nil {
		now, cancel := context.WithCancel(ctx)
		cancel()
		return nil, errors.Join(err, c.Stop(now))
	}
	return c, nil
}

// configure gives each server its ports, which it keeps, and tells it of the others.
func (c *NATSCluster) configure(ctx context.Context, o NATSOptions) error {
	shared, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return err
	}
	defer shared.close()
	password, err := shared.secret("password")
	if err != nil {
		return err
	}
	var ports, routes, monitors []int
	for i := range natsServers {
		for kind, list := range map[string]*[]int{"port": &ports, "route": &routes, "monitor": &monitors} {
			port, err := shared.portOf(ctx, kind+"-"+strconv.Itoa(i+1), 0)
			if err != nil {
				return err
			}
			*list = append(*list, port)
		}
	}
	if err := c.link(routes); err != nil {
		return err
	}
	for i := range natsServers {
		m := &member{name: "payaid-" + strconv.Itoa(i+1), url: natsURL(ports[i], password), monitor: "http://" + loopback(monitors[i]), o: o}
		m.dir, m.config = shared.join(m.name), shared.join(m.name+".conf")
		config := fmt.Sprintf(`server_name: %q
listen: %q
http: %q
authorization { user: %q, password: %q }
jetstream { store_dir: %q, sync_interval: always }
cluster { name: payaid, listen: %q, advertise: %q, authorization { user: %q, password: %q }, routes: [%s] }
`, m.name, loopback(ports[i]), loopback(monitors[i]), natsUser, password, m.dir, loopback(routes[i]), nowhere, natsUser, password, c.routes(i, password))
		if err := writeAtomic(m.config, []byte(config), 0o600); err != nil {
			return err
		}
		c.members = append(c.members, m)
	}
	return nil
}

// nowhere is what servers tell each other of how to reach them, so that they know no way but the links.
const nowhere = "127.0.0.1:1"

// link lays a way from each server to each other one.
func (c *NATSCluster) link(routes []int) (err error) {
	c.links = make(map[[2]int]*link)
	for i := range routes {
		for j, port := range routes {
			if i == j {
				continue
			}
			if c.links[[2]int{i, j}], err = newLink(loopback(port)); err != nil {
				delete(c.links, [2]int{i, j})
				return err
			}
		}
	}
	return nil
}

// routes are a server's ways to the others, as its configuration lists them.
func (c *NATSCluster) routes(from int, password string) string {
	var all []string
	for ends, l := range c.links {
		if ends[0] == from {
			route := url.URL{Scheme: "nats-route", User: url.UserPassword(natsUser, password), Host: l.address()}
			all = append(all, strconv.Quote(route.String()))
		}
	}
	return strings.Join(all, ", ")
}

// unlink takes all ways away, for good.
func (c *NATSCluster) unlink() error {
	var all []error
	for _, l := range c.links {
		all = append(all, l.close())
	}
	c.links = nil
	return errors.Join(all...)
}

// CutOff parts a server from the others, though not from its clients, until Rejoin: nothing passes between
// them, and no connection ends.
func (c *NATSCluster) CutOff(i int) { c.part(i, true) }

// Rejoin undoes CutOff. What was sent meanwhile arrives.
func (c *NATSCluster) Rejoin(i int) { c.part(i, false) }

func (c *NATSCluster) part(i int, cut bool) {
	for ends, l := range c.links {
		if ends[0] == i || ends[1] == i {
			l.set(cut)
		}
	}
}

// StartServer starts a server where it was, and returns when it takes connections.
func (c *NATSCluster) StartServer(ctx context.Context, i int) error {
	m := c.members[i]
	dir, err := openWorkdir(m.dir, m.o.Log)
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	m.running, err = startProcess(ctx, processOptions{
		name:       m.name,
		path:       c.binary,
		args:       []string{"-c", m.config},
		stopSignal: syscall.SIGTERM,
		ready:      m.listens,
		dir:        dir,
		log:        dir.log,
	})
	return err
}

// listens is nil when the server takes connections. Whether it serves streams is for the whole cluster
// to say.
func (m *member) listens(ctx context.Context) error {
	at, err := url.Parse(m.url)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

// WaitReady waits until the cluster makes and finds streams.
func (c *NATSCluster) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	if err := poll(ctx, c.answers); err != nil {
		return fmt.Errorf("wait for the cluster: %w", err)
	}
	return nil
}

func (c *NATSCluster) answers(ctx context.Context) error {
	conn, err := nats.Connect(c.URL(), nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = js.AccountInfo(ctx)
	return err
}

// WaitHealthy waits until a server has caught up with the others: before, no other should be taken away.
func (c *NATSCluster) WaitHealthy(ctx context.Context, i int) error {
	m := c.members[i]
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	if err := poll(ctx, m.healthy); err != nil {
		return fmt.Errorf("wait for %s: %w", m.name, err)
	}
	return nil
}

func (m *member) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.monitor+"/healthz", nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it is not healthy: %s", resp.Status)
	}
	return nil
}

// Monitor is the address at which a server tells how it is.
func (c *NATSCluster) Monitor(i int) string { return c.members[i].monitor }

// URL is the addresses of all servers, with user and password, separated by commas.
func (c *NATSCluster) URL() string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.url)
	}
	return strings.Join(all, ",")
}

// Server finds a server by the name under which the others know it, as the leader of a stream is told.
func (c *NATSCluster) Server(name string) (i int, found bool) {
	for i, m := range c.members {
		if m.name == name {
			return i, true
		}
	}
	return 0, false
}

// Size is how many servers the cluster has, also of those that are away.
func (c *NATSCluster) Size() int { return len(c.members) }

// KillServer sends SIGKILL to a server, which stays away until StartServer.
func (c *NATSCluster) KillServer(i int) {
	if m := c.members[i]; m.running != nil {
		m.running.halt()
		m.running = nil
	}
}

// StopServer has a server end as on a deploy, and returns when it has; StartServer starts it again.
func (c *NATSCluster) StopServer(ctx context.Context, i int) error {
	m := c.members[i]
	if m.running == nil {
		return nil
	}
	p := m.running
	m.running = nil
	return p.Stop(ctx)
}

// Signal sends a signal to a server: SIGSTOP and SIGCONT make it freeze and thaw.
func (c *NATSCluster) Signal(i int, signal syscall.Signal) error {
	m := c.members[i]
	if m.running == nil || m.running.Pid() == 0 {
		return fmt.Errorf("signal %s: it is away", m.name)
	}
	return syscall.Kill(m.running.Pid(), signal)
}

// Stop ends all servers that are there.
func (c *NATSCluster) Stop(ctx context.Context) error {
	var all []error
	for i := range c.members {
		all = append(all, c.StopServer(ctx, i))
	}
	return errors.Join(append(all, c.unlink())...)
}
