package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

const (
	// readyTimeout is how long the API server may take to be ready; it takes 3-5 s on two cores.
	readyTimeout = 2 * time.Minute
	// readyInterval is the pause between two questions of whether it is.
	readyInterval = 100 * time.Millisecond
)

// clusterOptions say what a cluster is made of.
type clusterOptions struct {
	dir     string
	program string
	kwok    string
	stages  string
	// controllerManagerQPS is the client limit of kube-controller-manager; 0 leaves its own (20 a second).
	controllerManagerQPS int
	// apiServerFlags are added to kube-apiserver's own.
	apiServerFlags []string
	// clusterAPI adds the core manager of Cluster API, which is not started with the others.
	clusterAPI bool
	// karpenter adds Karpenter with its kwok provider, which is not started with the others either.
	karpenter bool
}

// cluster is the running control plane.
type cluster struct {
	server      string
	auditLog    string
	credentials *credentials
	client      *http.Client
	children    []*child
	spawner     *spawner
	died        chan *process
	// webhooks is a URL of the core manager of Cluster API, empty without one.
	webhooks string
	// health is where the children that are started later say that they are ready, by name.
	health map[string]string
}

// newCluster writes every file the children need and starts none of them.
func newCluster(options clusterOptions) (*cluster, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	etcdPort, peerPort, serverPort := ports[0], ports[1], ports[2]
	server := fmt.Sprintf("https://127.0.0.1:%d", serverPort)
	credentials, err := newCredentials(options.dir, server)
	if err != nil {
		return nil, err
	}
	policy := filepath.Join(options.dir, "audit-policy.yaml")
	if err := writeSecret(policy, []byte(auditPolicy)); err != nil {
		return nil, err
	}
	schedulerConfig := filepath.Join(options.dir, "kube-scheduler.yaml")
	if err := writeSecret(schedulerConfig, schedulerConfiguration(options.dir)); err != nil {
		return nil, err
	}
	stages, err := stageFlags(options.stages)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(credentials.authority)
	c := &cluster{
		server:      server,
		auditLog:    filepath.Join(options.dir, "audit.log"),
		credentials: credentials,
		client: &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		},
		health:  map[string]string{},
		spawner: newSpawner(),
		died:    make(chan *process),
	}
	component := func(name string, args ...string) *child {
		return newChild(options.dir, name, options.program, append([]string{name}, args...)...)
	}
	c.children = []*child{
		component(nameEtcd,
			"--data-dir="+filepath.Join(options.dir, "etcd"),
			fmt.Sprintf("--client-port=%d", etcdPort),
			fmt.Sprintf("--peer-port=%d", peerPort)),
		component(nameAPIServer, append(apiServerFlags(c, etcdPort, serverPort, policy), options.apiServerFlags...)...),
		component(nameControllerManager, controllerManagerFlags(options, credentials)...),
		component(nameScheduler, "--config="+schedulerConfig, "--secure-port=0"),
		newChild(options.dir, nameKwok, options.kwok, append([]string{
			"--kubeconfig=" + componentKubeconfig(options.dir, userKwok),
			"--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
			"--node-lease-duration-seconds=40",
			"--node-ip=10.0.0.1",
		}, stages...)...),
	}
	if options.clusterAPI {
		if err := c.addClusterAPI(options); err != nil {
			return nil, err
		}
	}
	if options.karpenter {
		if err := c.addKarpenter(options); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func apiServerFlags(c *cluster, etcdPort, port int, policy string) []string {
	return []string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", etcdPort),
		fmt.Sprintf("--secure-port=%d", port),
		"--bind-address=127.0.0.1",
		// Where there is no interface but loopback, the server finds no address to advertise.
		"--advertise-address=127.0.0.1",
		// The default reconciler refuses to advertise a loopback address.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + c.credentials.certFile,
		"--tls-private-key-file=" + c.credentials.keyFile,
		"--token-auth-file=" + c.credentials.tokenFile,
		"--authorization-mode=RBAC",
		// Pods may then be created before the token controller has made the namespace's service account.
		"--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.credentials.serviceAccountKey,
		"--service-account-signing-key-file=" + c.credentials.serviceAccountKey,
		"--allow-privileged=true",
		"--profiling=false",
		"--audit-policy-file=" + policy,
		"--audit-log-path=" + c.auditLog,
		// The line is written by the request's own handler, not by a queue that may be behind.
		"--audit-log-mode=blocking",
		"--audit-log-format=json",
		"--audit-log-maxsize=100000",
	}
}

func controllerManagerFlags(options clusterOptions, credentials *credentials) []string {
	flags := []string{
		"--kubeconfig=" + componentKubeconfig(options.dir, userControllerManager),
		"--service-account-private-key-file=" + credentials.serviceAccountKey,
		"--leader-elect=false",
		"--secure-port=0",
	}
	if options.controllerManagerQPS > 0 {
		flags = append(flags,
			fmt.Sprintf("--kube-api-qps=%d", options.controllerManagerQPS),
			fmt.Sprintf("--kube-api-burst=%d", 2*options.controllerManagerQPS))
	}
	return flags
}

func schedulerConfiguration(dir string) []byte {
	return fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %q
  qps: 200
  burst: 400
leaderElection:
  leaderElect: false
`, componentKubeconfig(dir, userScheduler))
}

// stageFlags names every stage file: path itself, or the YAML files in it, in the order of their names.
func stageFlags(path string) ([]string, error) {
	files := []string{path}
	if stat, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("find kwok's stages: %w", err)
	} else if stat.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			return nil, fmt.Errorf("list kwok's stages: %w", err)
		}
		sort.Strings(files)
	}
	flags := make([]string, 0, len(files))
	for _, file := range files {
		flags = append(flags, "--config="+file)
	}
	return flags, nil
}

// portBlock is a range of loopback ports that this process has claimed, and how many of them it has handed out.
type portBlock struct {
	claim net.Listener
	first int
	taken int
}

// portsPerBlock is how many ports a block has, of which the first one is the claim.
const portsPerBlock = 16

var ports portBlock

// freePorts finds loopback ports nobody listens on, below the range from which the kernel takes the ports of outgoing
// connections: one of those could take the port between this look and the child's start. So could another control plane,
// wherefore each claims a block of ports by listening on the first one for as long as it lives.
func freePorts(count int) ([]int, error) {
	for attempt := 0; ports.claim == nil; attempt++ {
		if attempt == 1000 {
			return nil, errors.New("no free block of loopback ports between 20000 and 32000")
		}
		first := 20000 + portsPerBlock*rand.IntN(12000/portsPerBlock)
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", first))
		if err != nil {
			continue
		}
		ports = portBlock{claim: listener, first: first}
	}
	found := make([]int, 0, count)
	for len(found) < count {
		ports.taken++
		if ports.taken >= portsPerBlock {
			return nil, fmt.Errorf("no free loopback port left between %d and %d", ports.first, ports.first+portsPerBlock)
		}
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", ports.first+ports.taken))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return nil, err
		}
		found = append(found, ports.first+ports.taken)
	}
	return found, nil
}

// start starts all children and returns once the cluster can be used.
func (c *cluster) start(ctx context.Context) error {
	storage, others := c.children[:2], c.children[2:5]
	for _, child := range storage {
		if err := child.start(c.spawner, c.died); err != nil {
			return err
		}
	}
	if err := c.waitForServer(ctx); err != nil {
		return err
	}
	for _, child := range others {
		if err := child.start(c.spawner, c.died); err != nil {
			return err
		}
	}
	// The last one is made by kube-controller-manager, so its presence shows that controllers work.
	for _, path := range []string{
		"/api/v1/namespaces/kube-node-lease",
		"/api/v1/namespaces/default",
		"/api/v1/namespaces/default/serviceaccounts/default",
	} {
		if err := c.waitFor(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all children, those that need the others first.
func (c *cluster) stop() {
	for _, child := range c.children {
		// A child that ends because the server has gone is no news.
		if child.running != nil {
			child.running.expected.Store(true)
		}
	}
	var ending sync.WaitGroup
	for _, child := range c.children[2:] {
		ending.Go(child.stop)
	}
	ending.Wait()
	for _, child := range []*child{c.children[1], c.children[0]} {
		child.stop()
	}
}

func (c *cluster) find(name string) (*child, error) {
	for _, child := range c.children {
		if child.name == name {
			return child, nil
		}
	}
	return nil, fmt.Errorf("no child is called %q", name)
}

func (c *cluster) pids() map[string]int {
	pids := map[string]int{"run": os.Getpid()}
	for _, child := range c.children {
		if child.running != nil {
			pids[child.name] = child.running.command.Process.Pid
		}
	}
	return pids
}

func (c *cluster) waitForServer(ctx context.Context) error {
	return c.waitFor(ctx, "/readyz")
}

// waitFor returns once the API server answers a GET of path with 200.
func (c *cluster) waitFor(ctx context.Context, path string) error {
	return c.waitForURL(ctx, c.server+path)
}

// waitForURL returns once a GET of url is answered with 200.
func (c *cluster) waitForURL(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		answer := c.get(ctx, url)
		if answer == nil {
			return nil
		}
		select {
		case dead := <-c.died:
			return &deathError{dead}
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; the last answer: %w", url, ctx.Err(), answer)
		case <-ticker.C:
		}
	}
}

func (c *cluster) get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.credentials.users[userHarness].token)
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}
