// Package tlspin trusts a TLS server by the SHA-256 fingerprint of its certificate, as the
// site names it. Proxmox nodes and consoles make their own certificates, so that no
// authority vouches for them.
package tlspin

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"strings"
)

// Error says that a server shows a certificate that is not accepted.
type Error struct{ Seen string } // the fingerprint: "AB:CD:…"

func (e *Error) Error() string {
	return "the certificate is not one that the site accepts; its fingerprint is " + e.Seen
}

// Config accepts the certificates with these fingerprints and no other. Two may stand
// there while a certificate is renewed; colons and case do not matter.
func Config(fingerprints []string) (*tls.Config, error) {
	pins := map[[sha256.Size]byte]bool{}
	for _, f := range fingerprints {
		pin, err := Parse(f)
		if err != nil {
			return nil, err
		}
		pins[pin] = true
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the pin below is the check; it also runs on resumed sessions
		VerifyConnection: func(cs tls.ConnectionState) error {
			der := cs.PeerCertificates[0].Raw
			if pins[sha256.Sum256(der)] {
				return nil
			}
			return &Error{Fingerprint(der)}
		},
	}, nil
}

// Parse reads a fingerprint; colons and case do not matter.
func Parse(fingerprint string) (pin [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(fingerprint, ":", ""))
	if err != nil || len(raw) != sha256.Size {
		return pin, fmt.Errorf("%q is not a SHA-256 fingerprint: want %d hex digits", fingerprint, 2*sha256.Size)
	}
	return [sha256.Size]byte(raw), nil
}

// Fingerprint is that of a certificate (DER), as openssl prints it: "AB:CD:…".
func Fingerprint(der []byte) string {
	var parts []string
	for _, b := range sha256.Sum256(der) {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}
