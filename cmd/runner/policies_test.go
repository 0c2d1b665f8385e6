package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// The bundled policies and the library are tested by go test, too.
func TestTheBundledPoliciesPassTheirTests(t *testing.T) {
	if code := run(t.Context(), []string{"test", "../../policies", "../../stdlib"}); code != exitOK {
		t.Errorf("runner test ended with %d", code)
	}
}

// The example site is what a new user copies: it must be one that loads once the
// recovery key is the user's own, and that the bundled policies fit. As it is, it
// is refused: nobody has the key of a placeholder.
func TestTheExampleSiteLoads(t *testing.T) {
	example, err := os.ReadFile("../../policies/site.example.star")
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(t.TempDir(), "site.star")
	own := bytes.ReplaceAll(example, []byte("age1pq1..."), []byte(key.Recipient().String()))
	own = bytes.ReplaceAll(own, []byte("AA:BB:..."), []byte(strings.Repeat("AB:", 31)+"AB"))
	for _, placeholder := range []string{"ssh-ed25519 AAAA...", "1b2c3d4e-...", "0a1b2c3d-...", "1a2b3c4d-..."} {
		own = bytes.ReplaceAll(own, []byte(placeholder), []byte(strings.TrimSuffix(placeholder, "...")+"1"))
	}
	if err := os.WriteFile(site, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"check", "--ask=false", "--site", "../../policies/site.example.star", "--state", t.TempDir(),
		"../../policies/nightly.star"}); code == exitOK {
		t.Error("a site whose recovery key is a placeholder was accepted")
	}
	args := []string{"check", "--ask=false", "--site", site, "--state", t.TempDir(), "../../policies/nightly.star"}
	if code := run(t.Context(), args); code != exitOK {
		t.Errorf("runner check ended with %d", code)
	}
}
