package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand makes the etcd of a throw-away cluster: one member, no fsync, loopback only.
func newEtcdCommand() *cobra.Command {
	var dataDir string
	var clientPort, peerPort int
	command := &cobra.Command{
		Use:          nameEtcd,
		Short:        "Run one etcd member on loopback",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return runEtcd(dataDir, clientPort, peerPort)
		},
	}
	command.Flags().StringVar(&dataDir, "data-dir", "", "where the data is kept")
	command.Flags().IntVar(&clientPort, "client-port", 0, "port for the API server")
	command.Flags().IntVar(&peerPort, "peer-port", 0, "port for other members, of which there are none")
	return command
}

func runEtcd(dataDir string, clientPort, peerPort int) error {
	config := embed.NewConfig()
	config.Dir = dataDir
	client := []url.URL{loopback(clientPort)}
	peer := []url.URL{loopback(peerPort)}
	config.ListenClientUrls, config.AdvertiseClientUrls = client, client
	config.ListenPeerUrls, config.AdvertisePeerUrls = peer, peer
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// The data never outlives the test run, so waiting for the disk would prove nothing.
	config.UnsafeNoFsync = true
	config.LogLevel = "error"

	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	select {
	case err := <-etcd.Err():
		return fmt.Errorf("serve etcd: %w", err)
	case <-etcd.Server.StopNotify():
		return errors.New("etcd stopped by itself")
	}
}

func loopback(port int) url.URL {
	return url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
}
