package lab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/builtins/lab/graph"
)

// Names of the API tokens of the lab's Proxmox VE. Their secrets are in
// Secrets.
const (
	TokenID         = "runner@pve!runner"   // may back up, restore and drill
	TokenIDNoRights = "runner@pve!norights" // exists, may nothing
	TokenIDRoot     = "root@pam!lab"        // of root, without privilege separation
)

// key is one of the lab's fixed keys. They protect nothing: everybody can make
// them from this line.
func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("runner lab, fixed key: " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// tokenSecret is an API token's secret, in the form of a UUID as Proxmox gives
// them.
func tokenSecret(name string) string {
	s := sha256.Sum256([]byte("runner lab, fixed token: " + name))
	h := hex.EncodeToString(s[:16])
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

// Secrets returns the credentials that open the lab's systems: "pve-token",
// "onedrive" is the login of OneDrive, "pve-token-norights" and "pve-token-root" are the secrets of API tokens,
// "cloudflare-token" is an API token of the Cloudflare account that may read
// everything, "node-ssh-key" and "offsite-ssh-key" are private keys in OpenSSH's format. They
// are the same in every world.
func Secrets() map[string][]byte {
	return map[string][]byte{
		"pve-token":          []byte(tokenSecret(TokenID)),
		"pve-token-norights": []byte(tokenSecret(TokenIDNoRights)),
		"pve-token-root":     []byte(tokenSecret(TokenIDRoot)),
		"cloudflare-token":   []byte(cloudflareToken()),
		"node-ssh-key":       opensshKey("user root@pve1.lab", key("ssh user node")),
		"unifi-password":     []byte(unifiPassword),
		"onedrive":           oneDriveLogin(),
		"offsite-ssh-key":    opensshKey("user runner@offsite.lab", key("ssh user offsite")),
		"media/offline-a":    []byte(MediumPassphrase),
		"media/offline-b":    []byte(MediumPassphrase),
	}
}

// OneDriveClient is the id of the app registration at the lab's Microsoft.
const OneDriveClient = "6d0f5c1e-0000-4000-8000-00000000042a"

func oneDriveRefresh() string {
	s := sha256.Sum256([]byte("runner lab, fixed token: onedrive"))
	return "0.lab-" + hex.EncodeToString(s[:])
}

// oneDriveLogin is what runner cloud login leaves in a keyring, with an access token that
// has expired.
func oneDriveLogin() []byte {
	token, err := json.Marshal(map[string]string{"access_token": "expired", "token_type": "Bearer", "refresh_token": oneDriveRefresh(),
		"expiry": "2026-01-01T00:00:00Z"})
	if err != nil {
		return nil // cannot be: strings alone
	}
	login, err := json.Marshal(map[string]any{"type": "onedrive", "options": map[string]string{"client_id": OneDriveClient,
		"tenant": "contoso.example", "drive_id": graph.DriveID, "drive_type": "business", "token": string(token)}})
	if err != nil {
		return nil
	}
	return login
}

// cloudflareToken has the form of an account's API token.
// unifiPassword logs the account runner in at the console.
const unifiPassword = "a fixed password of the lab"

func cloudflareToken() string {
	s := sha256.Sum256([]byte("runner lab, fixed token: cloudflare"))
	return hex.EncodeToString(s[:20])
}

// opensshKey prints a private key. ssh.MarshalPrivateKey does the same with a
// random number inside; here it is fixed.
func opensshKey(comment string, k ed25519.PrivateKey) []byte {
	pub, ok := k.Public().(ed25519.PublicKey)
	if !ok {
		return nil
	}
	wire := ssh.Marshal(struct {
		Type string
		Pub  []byte
	}{ssh.KeyAlgoED25519, pub})
	private := ssh.Marshal(struct {
		Check1, Check2 uint32
		Type           string
		Pub, Priv      []byte
		Comment        string
	}{0x6c616221, 0x6c616221, ssh.KeyAlgoED25519, pub, k, comment})
	for i := byte(1); len(private)%8 != 0; i++ {
		private = append(private, i)
	}
	body := append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Pub, Private         []byte
	}{"none", "none", "", 1, wire, private})...)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: body})
}

func publicKey(k ed25519.PrivateKey) (ssh.PublicKey, error) {
	return ssh.NewPublicKey(k.Public())
}

// HostKeys returns the ssh host keys by host name, as in a known_hosts line
// after the name: "ssh-ed25519 AAAA…".
func HostKeys() map[string]string {
	out := map[string]string{}
	for _, host := range []string{"pve1.lab", "offsite.lab"} {
		pub, err := publicKey(key("ssh host " + host))
		if err != nil {
			continue // an ed25519 key is always one of ssh's
		}
		out[host] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))
	}
	return out
}

// certificate is the TLS certificate of a host; name "" is the usual one.
// Ed25519 signs without randomness and everything else is fixed, so it is the
// same to the byte in every world.
func certificate(host, name string) (tls.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte("lab" + name)),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2046, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{host},
	}
	k := key("tls " + host + " " + name)
	if host == graph.API {
		t.DNSNames = append(t.DNSNames, graph.Login, graph.SharePoint)
	}
	if host == "pve1.lab" { // as a node makes its own
		k = key("tls " + name)
		t.Subject.OrganizationalUnit, t.Subject.Organization = []string{"PVE Cluster Node"}, []string{"Proxmox Virtual Environment"}
		t.DNSNames = append(t.DNSNames, "pve1", "localhost")
	}
	der, err := x509.CreateCertificate(bytes.NewReader(nil), t, t, k.Public(), k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate of the lab: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, nil
}

// Roots are the certificates (PEM) that the lab's OneDrive shows: those of its clients
// are checked like any other's.
func Roots() []byte {
	cert, err := certificate(graph.API, "")
	if err != nil {
		return nil // cannot be: a fixed template, a fixed key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
}

// Fingerprint is the SHA-256 of the node's TLS certificate, in the form that
// Proxmox shows: "AA:BB:…".
func Fingerprint() string { return fingerprint("pve1.lab") }

// CloudflareFingerprint is that of the certificate of CloudflareAddr.
func CloudflareFingerprint() string { return fingerprint("api.cloudflare.lab") }

// UniFiFingerprint is that of the certificate of UniFiAddr.
func UniFiFingerprint() string { return fingerprint("unifi.lab") }

func fingerprint(host string) string {
	cert, err := certificate(host, "")
	if err != nil {
		return "" // cannot be: a fixed template, a fixed key
	}
	sum := sha256.Sum256(cert.Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}
