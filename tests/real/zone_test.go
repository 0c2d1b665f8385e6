package real

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The zone that export_dns saves is loaded by BIND's own checker, as it is and in
// the form in which another DNS server serves it.
func TestBINDTakesTheZoneThatIsSaved(t *testing.T) {
	needs(t, "named-checkzone", "sed")
	dir := t.TempDir()
	policy := filepath.Join(dir, "dns.star")
	if err := os.WriteFile(policy, []byte("def main():\n    export_dns(zone = \"example.org\")\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	// The run is degraded, since nothing is copied: the zone is made all the same.
	out, err := exec.CommandContext(t.Context(), bin, "exec", "-v", "--lab", "--state", state, policy).CombinedOutput()
	if !strings.Contains(string(out), "export_dns(zone = example.org)  -> example.org") {
		t.Fatalf("got %v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(state, "spool", "*", "zone.bind"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v, want one zone.bind in the spool", found, err)
	}
	// -i local: no lookups; -k and -m: names and MX as BIND demands them of a primary
	said := tool(t, "named-checkzone", "-i", "local", "-k", "fail", "-m", "fail", "-D", "-o", filepath.Join(dir, "canonical"), "example.org",
		found[0])
	if !strings.Contains(said, "loaded serial 2054167900") || !strings.Contains(said, "OK") {
		t.Errorf("got %s", said)
	}
	var index struct{ Records int }
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(found[0]), "index.json"))
	if err != nil || json.Unmarshal(raw, &index) != nil {
		t.Fatalf("read index: %v", err)
	}
	canonical, err := os.ReadFile(filepath.Join(dir, "canonical"))
	if err != nil {
		t.Fatal(err)
	}
	// Beside the records BIND loads the SOA and Cloudflare's two name servers.
	if got := strings.Count(strings.TrimSpace(string(canonical)), "\n") + 1; got != index.Records+3 {
		t.Errorf("BIND loaded %d records, want %d:\n%s", got, index.Records+3, canonical)
	}
	portable := filepath.Join(dir, "zone.portable")
	text := tool(t, "sed", "-E", `s/^([^;\t]+\t)1\tIN\t/\1300\tIN\t/`, found[0])
	if left := regexp.MustCompile(`(?m)^[^;\t]+\t1\tIN`).FindString(text); left != "" {
		t.Errorf("a TTL of 1 is left: %s", left)
	}
	if err := os.WriteFile(portable, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "named-checkzone", "-i", "local", "example.org", portable)
}
