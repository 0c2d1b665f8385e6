package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unfuzzed are the packages at the edge that parse nothing of their own, and why.
var unfuzzed = map[string]string{
	"builtins/internal/client/keyring": "the library reads its items; file names are compared",
	"builtins/internal/client/logs":    "its bytes go through format/journal and format/logbatch",
	"builtins/internal/client/ssh":     "the library reads the protocol",
	"builtins/internal/client/tlspin":  "the standard library reads the certificate; fingerprints are the site's",
}

// What comes from outside is parsed in formats, clients, targets and sources: each of
// them has a fuzz target, which .ci/fuzz runs.
func TestWhatParsesUntrustedInputIsFuzzed(t *testing.T) {
	fuzz := regexp.MustCompile(`(?m)^func Fuzz\w+\(f \*testing\.F\)`)
	seen := 0
	for _, p := range packages(t) {
		name := p.name()
		edge := strings.HasPrefix(name, "builtins/internal/format/") || strings.HasPrefix(name, "builtins/internal/client/") ||
			name == "builtins/internal/target" || name == "runtime/source" || name == "runtime/ledger"
		if !edge {
			continue
		}
		seen++
		found := false
		for _, f := range append(append([]string{}, p.TestGoFiles...), p.XTestGoFiles...) {
			raw, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			found = found || fuzz.Match(raw)
		}
		switch _, excused := unfuzzed[name]; {
		case !found && !excused:
			t.Errorf("%s parses what comes from outside, and has no fuzz target", name)
		case found && excused:
			t.Errorf("%s has a fuzz target: take it off the list", name)
		}
	}
	if seen < 20 {
		t.Errorf("%d packages were looked at: the tree has moved", seen)
	}
}
