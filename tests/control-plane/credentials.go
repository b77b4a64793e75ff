package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	clientcmd "k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// operatorCount is how many users with every right there are: one for each test, so that the audit log tells
	// their requests apart.
	operatorCount = 500
	// limitedCount is how many users without any right there are, for tests that bind roles of their own.
	limitedCount = 100

	mastersGroup = "system:masters"
	clusterName  = "handover-test"

	userAdmin             = "admin"
	userHarness           = "control-plane"
	userControllerManager = "system:kube-controller-manager"
	userScheduler         = "system:kube-scheduler"
	userKwok              = "kwok"
	userClusterAPI        = "cluster-api"
	userKarpenter         = "karpenter"
)

// user is one line of the API server's token file.
type user struct {
	name  string
	group string
	token string
}

// credentials are the keys, certificates and users of one control plane, as files in one folder.
type credentials struct {
	certFile          string
	keyFile           string
	serviceAccountKey string
	tokenFile         string
	// kubeconfig has one context for each user a test may be, named after the user; admin is the current one.
	kubeconfig string

	authority []byte
	server    string
	users     map[string]user
}

func newCredentials(dir, server string) (*credentials, error) {
	c := &credentials{
		certFile:          filepath.Join(dir, "apiserver.crt"),
		keyFile:           filepath.Join(dir, "apiserver.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
		tokenFile:         filepath.Join(dir, "tokens.csv"),
		kubeconfig:        filepath.Join(dir, "kubeconfig"),
		server:            server,
		users:             map[string]user{},
	}
	if err := c.writeServingCertificate(); err != nil {
		return nil, err
	}
	if err := c.writeServiceAccountKey(); err != nil {
		return nil, err
	}
	if err := c.writeTokens(); err != nil {
		return nil, err
	}
	return c, c.writeKubeconfigs(dir)
}

func (c *credentials) writeServingCertificate() error {
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"})
	if err != nil {
		return fmt.Errorf("make the serving certificate: %w", err)
	}
	// The file holds the serving certificate and then the authority that signed it.
	for block, rest := pem.Decode(cert); block != nil; block, rest = pem.Decode(rest) {
		c.authority = pem.EncodeToMemory(block)
	}
	if err := writeSecret(c.certFile, cert); err != nil {
		return err
	}
	return writeSecret(c.keyFile, key)
}

func (c *credentials) writeServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	return writeSecret(c.serviceAccountKey, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (c *credentials) writeTokens() error {
	users := []user{
		{name: userAdmin, group: mastersGroup},
		{name: userHarness, group: mastersGroup},
		{name: userControllerManager, group: mastersGroup},
		{name: userScheduler, group: mastersGroup},
		{name: userKwok, group: mastersGroup},
		{name: userClusterAPI, group: mastersGroup},
		{name: userKarpenter, group: mastersGroup},
	}
	for i := range operatorCount {
		users = append(users, user{name: fmt.Sprintf("operator-%03d", i), group: mastersGroup})
	}
	for i := range limitedCount {
		users = append(users, user{name: fmt.Sprintf("limited-%03d", i)})
	}
	var lines strings.Builder
	for _, u := range users {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return fmt.Errorf("make the token of %s: %w", u.name, err)
		}
		u.token = hex.EncodeToString(random)
		c.users[u.name] = u
		fmt.Fprintf(&lines, "%s,%s,%s,%q\n", u.token, u.name, u.name, u.group)
	}
	return writeSecret(c.tokenFile, []byte(lines.String()))
}

// writeKubeconfigs writes the tests' kubeconfig and one for each component.
func (c *credentials) writeKubeconfigs(dir string) error {
	everyone := make([]string, 0, 1+operatorCount+limitedCount)
	for name := range c.users {
		switch name {
		case userHarness, userControllerManager, userScheduler, userKwok, userClusterAPI, userKarpenter:
		default:
			everyone = append(everyone, name)
		}
	}
	if err := c.writeKubeconfig(c.kubeconfig, userAdmin, everyone...); err != nil {
		return err
	}
	for _, component := range []string{userControllerManager, userScheduler, userKwok, userClusterAPI, userKarpenter} {
		if err := c.writeKubeconfig(componentKubeconfig(dir, component), component, component); err != nil {
			return err
		}
	}
	return nil
}

func componentKubeconfig(dir, user string) string {
	return filepath.Join(dir, strings.TrimPrefix(user, "system:")+".kubeconfig")
}

func (c *credentials) writeKubeconfig(path, current string, users ...string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[clusterName] = &clientcmdapi.Cluster{Server: c.server, CertificateAuthorityData: c.authority}
	for _, name := range users {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: c.users[name].token}
		config.Contexts[name] = &clientcmdapi.Context{Cluster: clusterName, AuthInfo: name}
	}
	config.CurrentContext = current
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeSecret(path, text)
}

func writeSecret(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write a file of the control plane: %w", err)
	}
	return nil
}
