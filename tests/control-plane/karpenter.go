package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// addKarpenter adds Karpenter with the provider of its own tests, whose machines are Node objects: kwok plays the
// kubelets. The caller starts it once its custom resources are there.
//
// It serves metrics and health on every interface and knows no other way, so nothing but loopback may be there.
func (c *cluster) addKarpenter(options clusterOptions) error {
	if err := onlyLoopback("--karpenter: it listens"); err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	metrics, health := ports[0], ports[1]
	c.health[nameKarpenter] = fmt.Sprintf("http://127.0.0.1:%d/readyz", health)
	karpenter := newChild(options.dir, nameKarpenter, filepath.Join(filepath.Dir(options.program), nameKarpenter))
	// It reads its kubeconfig from the environment only.
	karpenter.env = append(os.Environ(),
		"KUBECONFIG="+componentKubeconfig(options.dir, userKarpenter),
		"DISABLE_LEADER_ELECTION=true",
		fmt.Sprintf("METRICS_PORT=%d", metrics),
		fmt.Sprintf("HEALTH_PROBE_PORT=%d", health),
		// How long it gathers pods before it makes nodes for them: tests have few.
		"BATCH_IDLE_DURATION=500ms",
		"BATCH_MAX_DURATION=2s",
		"FEATURE_GATES=StaticCapacity=true")
	c.children = append(c.children, karpenter)
	return nil
}
