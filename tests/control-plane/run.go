package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const runHelp = `Run a whole control plane on loopback until the standard input ends or a signal arrives

One JSON line on the standard output says that it is ready. Then each input line is a command, answered by one JSON line:
  restart NAME   end a child politely and start it again with the same arguments (the same ports)
  stop NAME      end it          kill NAME   end it as a crash would          start NAME   start it again
NAME is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok or, with their flags, cluster-api and
karpenter: those run only after "start NAME", since they need their custom resources.`

// announcement is the line that says the control plane is ready.
type announcement struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	AuditLog   string `json:"auditLog"`
	// Webhooks is where the core manager of Cluster API answers webhooks, with the API server's certificate.
	Webhooks string         `json:"webhooks,omitempty"`
	Pids     map[string]int `json:"pids"`
}

// reply answers one command.
type reply struct {
	Done  string         `json:"done,omitempty"`
	Error string         `json:"error,omitempty"`
	Pids  map[string]int `json:"pids,omitempty"`
}

func newRunCommand() *cobra.Command {
	options := clusterOptions{}
	var remove bool
	command := &cobra.Command{
		Use:           "run",
		Short:         "Run a whole control plane on loopback",
		Long:          runHelp,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer cancel()
			err := prepare(&options)
			if err == nil {
				err = run(ctx, options)
			}
			if remove {
				err = errors.Join(err, os.RemoveAll(options.dir))
			}
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.dir, "dir", "", "folder for data, keys and logs; made when it is not there")
	flags.BoolVar(&remove, "remove", false, "remove the folder at the end")
	flags.StringVar(&options.kwok, "kwok", "", "path of kwok (default: beside this program)")
	flags.StringVar(&options.stages, "stages", "", "kwok's stages, a file or a folder (default: the folder stages beside this program)")
	flags.IntVar(&options.controllerManagerQPS, "kcm-qps", 200, "client limit of kube-controller-manager, requests a second; 0 leaves its own, 20")
	flags.StringArrayVar(&options.apiServerFlags, "apiserver-flag", nil, "another flag for kube-apiserver, for example --runtime-config=policy/v1=false; may be repeated")
	flags.BoolVar(&options.clusterAPI, "cluster-api", false, "have the core manager of Cluster API, too; only where loopback is the only network interface")
	flags.BoolVar(&options.karpenter, "karpenter", false, "have Karpenter with its kwok provider, too; only where loopback is the only network interface")
	_ = command.MarkFlagRequired("dir")
	return command
}

// prepare makes the folder and fills in what was not said.
func prepare(options *clusterOptions) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	options.program = program
	if options.kwok == "" {
		options.kwok = filepath.Join(filepath.Dir(program), nameKwok)
	}
	if options.stages == "" {
		options.stages = filepath.Join(filepath.Dir(program), "stages")
	}
	if options.dir, err = filepath.Abs(options.dir); err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	if err := os.MkdirAll(options.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	return nil
}

// run keeps a cluster until ctx ends, the standard input ends, or a child ends that should not.
func run(ctx context.Context, options clusterOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The input ends when the owner does, however it ends: also while the cluster is still starting.
	lines := readLines(os.Stdin, cancel)
	cluster, err := newCluster(options)
	if err != nil {
		return err
	}
	defer cluster.stop()
	if err := cluster.start(ctx); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(announcement{
		Kubeconfig: cluster.credentials.kubeconfig,
		Server:     cluster.server,
		AuditLog:   cluster.auditLog,
		Webhooks:   cluster.webhooks,
		Pids:       cluster.pids(),
	}); err != nil {
		return fmt.Errorf("announce the cluster: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case dead := <-cluster.died:
			return &deathError{dead}
		case line := <-lines:
			answer := reply{Done: line}
			var dead *deathError
			if err := obey(ctx, cluster, line); errors.As(err, &dead) {
				return err
			} else if err != nil {
				answer = reply{Error: err.Error()}
			}
			answer.Pids = cluster.pids()
			if err := out.Encode(answer); err != nil {
				return fmt.Errorf("answer %q: %w", line, err)
			}
		}
	}
}

// readLines sends each line of input and calls atEnd at its end.
func readLines(input io.Reader, atEnd func()) <-chan string {
	lines := make(chan string)
	go func() {
		defer atEnd()
		for scanner := bufio.NewScanner(input); scanner.Scan(); {
			lines <- strings.TrimSpace(scanner.Text())
		}
	}()
	return lines
}

func obey(ctx context.Context, cluster *cluster, line string) error {
	verb, name, _ := strings.Cut(line, " ")
	child, err := cluster.find(name)
	if err != nil {
		return err
	}
	switch verb {
	case "stop":
		child.stop()
		return nil
	case "kill":
		child.kill()
		return nil
	case "restart":
		child.stop()
	case "start":
		if child.isRunning() {
			return fmt.Errorf("%s is running", name)
		}
	default:
		return fmt.Errorf("no command is called %q", verb)
	}
	if err := child.start(cluster.spawner, cluster.died); err != nil {
		return err
	}
	if url, found := cluster.health[name]; found {
		return cluster.waitForURL(ctx, url)
	}
	return cluster.waitForServer(ctx)
}
