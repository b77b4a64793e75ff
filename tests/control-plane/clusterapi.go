package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

const (
	featureGates = "ClusterTopology=true,MachinePool=true,MachineTaintPropagation=true"
)

// addClusterAPI adds the core manager of Cluster API, which the caller starts once its custom resources are there.
//
// Its webhook server listens on every interface and knows no other way, so nothing but loopback may be there.
func (c *cluster) addClusterAPI(options clusterOptions) error {
	if err := onlyLoopback("--cluster-api: its webhook server listens"); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	certificates := filepath.Join(options.dir, nameClusterAPI)
	if err := os.MkdirAll(certificates, 0o700); err != nil {
		return fmt.Errorf("make the folder of the webhooks' certificate: %w", err)
	}
	for name, target := range map[string]string{"tls.crt": c.credentials.certFile, "tls.key": c.credentials.keyFile} {
		if err := os.Symlink(target, filepath.Join(certificates, name)); err != nil {
			return fmt.Errorf("give the webhooks the API server's certificate: %w", err)
		}
	}
	webhooks, health, diagnostics := ports[0], ports[1], ports[2]
	c.webhooks = fmt.Sprintf("https://127.0.0.1:%d", webhooks)
	c.health[nameClusterAPI] = fmt.Sprintf("http://127.0.0.1:%d/readyz", health)
	c.children = append(c.children, newChild(options.dir, nameClusterAPI, filepath.Join(filepath.Dir(options.program), nameClusterAPI),
		"--kubeconfig="+componentKubeconfig(options.dir, userClusterAPI),
		fmt.Sprintf("--webhook-port=%d", webhooks),
		"--webhook-cert-dir="+certificates,
		fmt.Sprintf("--health-addr=127.0.0.1:%d", health),
		fmt.Sprintf("--diagnostics-address=127.0.0.1:%d", diagnostics),
		"--insecure-diagnostics",
		"--feature-gates="+featureGates,
		// There is nothing to migrate in a cluster this young, and the migration would hold up the start.
		"--skip-crd-migration-phases=StorageVersionMigration,CleanupManagedFields",
		"-v=2"))
	return nil
}

// onlyLoopback refuses where a program that listens on every interface could be reached from outside.
func onlyLoopback(who string) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("look at the network interfaces: %w", err)
	}
	for _, found := range interfaces {
		if found.Flags&net.FlagLoopback == 0 && found.Flags&net.FlagUp != 0 {
			return errors.New(who + " on every network interface, and " + found.Name +
				" leads out of this machine; scripts/only-loopback COMMAND runs a command where there is only loopback")
		}
	}
	return nil
}
