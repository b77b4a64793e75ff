// Command control-plane is a whole Kubernetes control plane in one program, for tests on one machine.
//
// `control-plane run` starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (which plays the
// kubelets) as child processes on loopback; the other subcommands are those programs themselves, unchanged.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json, as in the released programs
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as in the released programs
	_ "k8s.io/component-base/metrics/prometheus/version"  // build metrics, as in the released programs
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// The names are subcommands, child names and log file names alike.
const (
	nameEtcd              = "etcd"
	nameAPIServer         = "kube-apiserver"
	nameControllerManager = "kube-controller-manager"
	nameScheduler         = "kube-scheduler"
	nameKwok              = "kwok"
	nameClusterAPI        = "cluster-api"
	nameKarpenter         = "karpenter"
)

// programs maps a subcommand to the program it is. They are made on demand: each registers flags and feature gates that
// only one program in a process may own.
var programs = map[string]func() *cobra.Command{
	nameEtcd:              newEtcdCommand,
	nameAPIServer:         apiserver.NewAPIServerCommand,
	nameControllerManager: controllermanager.NewControllerManagerCommand,
	nameScheduler:         func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	nameSchedulerOracle:   newSchedulerOracleCommand,
	"run":                 newRunCommand,
}

func main() {
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: control-plane run|etcd|kube-apiserver|kube-controller-manager|kube-scheduler|scheduler-oracle [flags]")
		os.Exit(2)
	}
	command := programs[os.Args[1]]()
	os.Args = append([]string{os.Args[1]}, os.Args[2:]...)
	os.Exit(cli.Run(command))
}
