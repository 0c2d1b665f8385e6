package builtins

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/runtime/ledger"
)

// withCustodians is a bench whose secrets 2 of 3 custodians open.
func withCustodians(t *testing.T) (b *bench, call string, keys map[string]*age.X25519Identity) {
	t.Helper()
	b = newBench(t)
	b.keys(nil)
	keys = map[string]*age.X25519Identity{}
	for _, name := range []string{"anna", "ben", "carla"} {
		id, recipient := newKey(t)
		keys[name] = id
		b.edit("+", fmt.Sprintf("custodian(name = %q, recipient = %q)", name, recipient))
	}
	return b, `return seal_secrets(threshold = 2)`, keys
}

// shareOf opens a custodian's share, as its owner does.
func (b *bench) shareOf(a ledger.Artifact, name string, id age.Identity) string {
	b.t.Helper()
	r, err := age.Decrypt(strings.NewReader(b.spooled(a, "share-"+name+".age")), id)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

func TestSealSecretsForCustodians(t *testing.T) {
	t.Parallel()
	b, call, keys := withCustodians(t)
	b.good(call)
	a := b.newestSecrets()
	if got := strings.Join(fileNames(a), " "); got != "bundle.age canary.age share-anna.age share-ben.age share-carla.age share-README.txt "+
		"index.json" {
		t.Errorf("got files %s", got)
	}
	shares := map[string]string{}
	for name, id := range keys {
		shares[name] = b.shareOf(a, name, id)
		if len(a.Declared["share "+name]) != 64 {
			t.Errorf("the ledger has no commitment of %s: %v", name, a.Declared)
		}
	}
	for _, pair := range [][]string{{"anna", "ben"}, {"carla", "anna"}, {"ben", "carla"}, {"anna", "ben", "carla"}} {
		var given []string
		for _, name := range pair {
			given = append(given, shares[name])
		}
		if got := b.secretsOf(a, kind.Options{Shares: given}); got["site/marked"] != marked {
			t.Errorf("%v: got %v", pair, got)
		}
	}
	if got := b.secretsOf(a, kind.Options{Shares: []string{b.spooled(a, "share-anna.age"), shares["ben"]},
		Identities: []age.Identity{keys["anna"]}}); got["site/marked"] != marked {
		t.Errorf("a share that is still sealed: got %v", got)
	}
	tampered := []byte(shares["ben"])
	changed := strings.Replace(shares["ben"], "-2-3-", "-2-4-", 1) // its checksum does not fit any more
	tampered[70] ^= 1
	for name, c := range map[string]struct {
		shares []string
		want   string
	}{
		"M-1 shares":             {[]string{shares["anna"]}, "there are 1, and 2 are needed"},
		"one share twice":        {[]string{shares["anna"], shares["anna"]}, "there twice"},
		"a tampered share":       {[]string{shares["anna"], string(tampered)}, "checksum is wrong"},
		"a share of other terms": {[]string{shares["anna"], changed}, "checksum is wrong"},
		"a sealed share":         {[]string{shares["anna"], b.spooled(a, "share-ben.age")}, "still sealed"},
	} {
		j, err := b.bring(a, kind.Options{Shares: c.shares})
		if err == nil || !strings.Contains(err.Error(), c.want) || len(j.Paths) != 0 {
			t.Errorf("%s: got %v, %v, want %q", name, err, j.Paths, c.want)
		}
	}
}

// A target's own seal is around the shares as well, and who finds the files is reported.
func TestCustodiansAreToldOfTheSealOfATarget(t *testing.T) {
	t.Parallel()
	b, call, _ := withCustodians(t)
	b.good(strings.Replace(call, "return seal_secrets(threshold = 2)", `copy(artifact = seal_secrets(threshold = 2), to = ["offsite"])`, 1))
	a := b.newestSecrets()
	if w := missing(b.spooled(a, "share-README.txt"), []string{"target with sealed_to", "recovery\nkey of that target"}); w != "" {
		t.Errorf("share-README.txt does not say %q", w)
	}
	for _, c := range b.copies("offsite") {
		for _, f := range c.Files {
			if len(c.SealedTo) == 0 || !strings.HasSuffix(f.Name, ".age") {
				t.Errorf("%s is not sealed by the target", f.Name)
			}
		}
	}
}

// Who changes a share with care changes its checksum, too: the commitment tells.
func TestATamperedShareIsNamed(t *testing.T) {
	t.Parallel()
	b, call, keys := withCustodians(t)
	b.good(call)
	a := b.newestSecrets()
	b.good(strings.Replace(call, "threshold = 2", "threshold = 3", 1))
	other := b.newestSecrets()
	if a.Declared["set"] == other.Declared["set"] {
		t.Fatal("another threshold is the same set")
	}
	good := b.shareOf(a, "anna", keys["anna"])
	if _, err := b.bring(a, kind.Options{Shares: []string{good, b.shareOf(other, "ben", keys["ben"])}}); err == nil ||
		missing(err.Error(), []string{"share 2", "sealed anew"}) != "" {
		t.Errorf("a share of another set: got %v", err)
	}
	raw := []byte(b.spooled(a, "index.json")) // as if ben's share had been replaced: its commitment is not there
	raw = bytes.ReplaceAll(raw, []byte(a.Declared["share ben"]), []byte(strings.Repeat("0", 64)))
	if err := os.WriteFile(filepath.Join(b.dir, "spool", a.ID, "index.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.bring(a, kind.Options{Shares: []string{good, b.shareOf(a, "ben", keys["ben"])}}); err == nil ||
		missing(err.Error(), []string{"share 2", "somebody changed it"}) != "" {
		t.Errorf("a share without a commitment: got %v", err)
	}
}

// Secrets that are sealed again to the same keep their set and their shares; to
// others they get a new one, and what was sealed before stays readable.
func TestRotation(t *testing.T) {
	t.Parallel()
	b, call, keys := withCustodians(t)
	b.good(call)
	first := b.newestSecrets()
	if err := labKeyring(b.ring).Set("site/new", []byte("n")); err != nil {
		t.Fatal(err)
	}
	shares := []string{b.shareOf(first, "anna", keys["anna"]), b.shareOf(first, "carla", keys["carla"])}
	b.good(call)
	second := b.newestSecrets()
	if first.ID == second.ID || first.Declared["set"] != second.Declared["set"] ||
		first.Declared["share anna"] != second.Declared["share anna"] {
		t.Fatalf("sealed again to the same: got %v after %v", second.Declared, first.Declared)
	}
	if got := b.secretsOf(second, kind.Options{Shares: shares}); got["site/new"] != "n" {
		t.Errorf("old shares, new secrets: got %v", got)
	}
	// The shares in the spool were changed: they are not taken over.
	bad := []byte(b.spooled(second, "share-ben.age"))
	bad[len(bad)-1] ^= 1
	if err := os.WriteFile(filepath.Join(b.dir, "spool", second.ID, "share-ben.age"), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	b.good(call)
	third := b.newestSecrets()
	if third.Declared["set"] == second.Declared["set"] || !b.reported("cannot be taken over", "share-ben.age is not what was recorded") {
		t.Errorf("got %v", third.Declared)
	}
	_, recipient := newKey(t)
	b.good(fmt.Sprintf(`return seal_secrets(recipients = [%q])`, recipient))
	fourth := b.newestSecrets()
	if fourth.Declared["set"] == third.Declared["set"] || !b.reported("supersedes "+third.Declared["set"]) {
		t.Errorf("got %v", fourth.Declared)
	}
	b.good(fmt.Sprintf(`return seal_secrets(recipients = [%q])`, recipient))
	if again := b.newestSecrets(); again.Declared["set"] != fourth.Declared["set"] {
		t.Errorf("got set %s, want %s", again.Declared["set"], fourth.Declared["set"])
	}
	if got := b.secretsOf(first, kind.Options{Shares: shares}); got["site/marked"] != marked {
		t.Errorf("the first set does not open any more: %v", got)
	}
}
