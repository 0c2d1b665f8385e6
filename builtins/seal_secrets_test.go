package builtins

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

const sealAll = `return seal_secrets()`

func TestSealSecretsComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	b.good(sealAll)
	a := b.newestSecrets()
	if a.Kind != "secrets" || a.Asset != "credentials" || a.Item != "keyring" || a.Declared["items"] != "2" || len(a.Declared["set"]) != 16 ||
		strings.Join(fileNames(a), " ") != "bundle.age canary.age index.json" {
		t.Errorf("got %+v", a)
	}
	if index := b.spooled(a, "index.json"); missing(index, []string{`"names": "hidden"`, `"class": "hybrid"`}) != "" ||
		strings.Contains(index, "marked") || strings.Contains(index, "ssh") {
		t.Errorf("the index is\n%s", index)
	}
	want := map[string]string{"site/marked": marked, "offsite-ssh-key": string(lab.Secrets()["offsite-ssh-key"])}
	got := b.secretsOf(a, kind.Options{Identities: recoveryIdentity(t)})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %d secrets: %v", len(got), got["site/marked"])
	}
	j, err := b.bring(a, kind.Options{Identities: recoveryIdentity(t)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(j.Into, "secrets", "site%2Fmarked")
	st, err := os.Stat(path)
	raw, rerr := os.ReadFile(path)
	if err != nil || rerr != nil || st.Mode().Perm() != 0o600 || string(raw) != marked || len(j.Paths) != 2 {
		t.Errorf("got %v, %v, %q, %q", err, rerr, raw, j.Paths)
	}
	other, _ := newKey(t)
	if j, err := b.bring(a, kind.Options{Identities: []age.Identity{other}}); err == nil ||
		missing(err.Error(), []string{"none of the keys opens it", "--identity"}) != "" || len(j.Paths) != 0 {
		t.Errorf("with another key: got %v, %v", err, j.Paths)
	}
	if _, err := b.bring(a, kind.Options{}); err == nil || !strings.Contains(err.Error(), "there is no key") {
		t.Errorf("without a key: got %v", err)
	}
}

// A secret may be called as the folder of another; and one that cannot be written
// keeps no other from coming back.
func TestEverySecretComesBackThatCan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(map[string]string{"a": "one", "a/b": "two", "a/b/c": "three"})
	b.good(sealAll)
	j, err := b.bring(b.newestSecrets(), kind.Options{Identities: recoveryIdentity(t)})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"a": "one", "a%2Fb": "two", "a%2Fb%2Fc": "three"} {
		if raw, err := os.ReadFile(filepath.Join(j.Into, "secrets", file)); err != nil || string(raw) != want {
			t.Errorf("%s: got %q, %v, want %q", file, raw, err, want)
		}
	}
	got := map[string]string{}
	o := kind.Options{Identities: recoveryIdentity(t), Keyring: func(name string, value []byte) error {
		if name == "a/b" {
			return errors.New("it is not taken")
		}
		got[name] = string(value)
		return nil
	}}
	j, err = b.bring(b.newestSecrets(), o)
	if err == nil || !strings.Contains(err.Error(), "bring back secret a/b: it is not taken") || len(got) != 4 || got["a/b/c"] != "three" ||
		got["site/marked"] != marked {
		t.Errorf("got %d secrets, %v", len(got), err)
	}
	if w := missing(strings.Join(j.Say, "\n"), []string{"4 secrets of set", "site/marked"}); w != "" {
		t.Errorf("the operator is not told %q: %q", w, j.Say)
	}
}

func TestSealSecretsIsCopiedAndProven(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	b.good(`verify(copies = copy(artifact = seal_secrets(), to = ["offsite", "second-disk"]))`)
	for target, level := range map[string]int{"offsite": ledger.Read, "second-disk": ledger.Opened} {
		if p := b.proofs(target); len(p) != 1 || p[0].Level != level || p[0].Item != "keyring" {
			t.Errorf("%s: got %+v", target, p)
		}
	}
	if p := b.proofs("second-disk"); !strings.Contains(p[0].Note, "2 secrets of set") {
		t.Errorf("got note %q", p[0].Note)
	}
}

func TestSealSecretsNamesAreShownWhereTheSiteSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", `keyring(names = "shown")`)
	b.keys(nil)
	b.good(`return seal_secrets(names = ["site/*"])`)
	a := b.newestSecrets()
	if index := b.spooled(a, "index.json"); !strings.Contains(index, `"name": "site/marked"`) || strings.Contains(index, "offsite") {
		t.Errorf("got %s", index)
	}
	if got := b.secretsOf(a, kind.Options{Identities: recoveryIdentity(t)}); len(got) != 1 || got["site/marked"] != marked {
		t.Errorf("got %v", got)
	}
}

// Hybrid and classic recipients are in files of their own, and each opens all.
func TestSealSecretsKeepsClassesApart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	id, recipient := newKey(t)
	hybrid := target.Fingerprint(recoveryRecipient(t))
	b.good(fmt.Sprintf(`return seal_secrets(recipients = [%q, %q])`, recipient, recoveryRecipient(t)))
	a := b.newestSecrets()
	if got := strings.Join(fileNames(a), " "); got != "bundle-pq.age canary-pq.age bundle-x25519.age canary-x25519.age index.json" {
		t.Errorf("got files %s", got)
	}
	if !strings.Contains(a.Declared["recipients"], hybrid) || !strings.Contains(a.Declared["recipients"], target.Fingerprint(recipient)) {
		t.Errorf("got recipients %s", a.Declared["recipients"])
	}
	for name, ids := range map[string][]age.Identity{"classic": {id}, "hybrid": recoveryIdentity(t)} {
		if got := b.secretsOf(a, kind.Options{Identities: ids}); got["site/marked"] != marked {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// withoutSeals are edits that leave no target with recipients.
func withoutSeals() (edits []string) {
	for range strings.Count(string(lab.Site), "    sealed_to = [RECOVERY],\n") {
		edits = append(edits, "    sealed_to = [RECOVERY],\n", "")
	}
	return edits
}

func TestSecretsToAnIdentityOnTheHostWhereTheSiteSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", `identity(secret = secret("recovery"), on_host = True)`)
	b.keys(map[string]string{"recovery": lab.RecoveryIdentity})
	b.good(sealAll)
	if a := b.newestSecrets(); a.Declared["items"] != "3" {
		t.Errorf("got %v", a.Declared)
	}
}

// No form of a secret is found in anything that a run leaves or says.
func TestSecretsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	b, call, _ := withCustodians(t)
	cfg := b.config(main(`a = `+strings.TrimPrefix(call, "return "),
		`return verify(copies = copy(artifact = a, to = ["offsite", "second-disk"]))`))
	var said strings.Builder
	var mu sync.Mutex // targets tell of their progress at once
	cfg.Observe = func(e runtime.Event) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&said, "%+v\n", e)
	}
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil || out.Err != nil {
		t.Fatal(err, out.Err)
	}
	fmt.Fprintf(&said, "%+v %+v\n", out, out.Findings)
	rowsText := ""
	for _, k := range []string{ledger.RowArtifact, ledger.RowCopy, ledger.RowProof, ledger.RowRun} {
		for _, r := range rows[json.RawMessage](b, k, ledger.Query{}) {
			rowsText += string(r)
		}
	}
	err = b.catalog().Entries(t.Context(), ledger.Filter{}, func(e ledger.Entry) error { rowsText += string(e.Body); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range forms(marked) {
		if strings.Contains(said.String(), form) || strings.Contains(rowsText, form) {
			t.Errorf("%q was said or recorded", form)
		}
	}
	if found := traces(t, b.dir, forms(marked)); len(found) > 0 {
		t.Errorf("found in %s", strings.Join(found, ", "))
	}
	check(b, os.WriteFile(filepath.Join(b.dir, "planted"), []byte("x"+base64.StdEncoding.EncodeToString([]byte(marked))), 0o600))
	if found := traces(t, b.dir, forms(marked)); !slices.Equal(found, []string{filepath.Join(b.dir, "planted")}) {
		t.Errorf("the search finds %v, want the one that was planted", found)
	}
}

// forms are the ways in which a secret could lie somewhere.
func forms(secret string) []string {
	return []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:32], hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret)))}
}

// traces lists the files below a folder that hold one of the texts.
func traces(t *testing.T, dir string, texts []string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(raw, []byte(text)) {
				found = append(found, path)
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Whatever the secrets: what comes back makes a keyring whose seal comes back the same.
func TestAnySecretsComeBackEqual(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			more := map[string]string{}
			for n := range 1 + r.IntN(12) {
				name := []string{"plain", "site/deep/er", "with.dot", "a-b_c", "0"}[r.IntN(5)] + fmt.Sprint(n)
				value := make([]byte, 1+r.IntN([]int{4, 70, 5000}[r.IntN(3)]))
				for i := range value {
					value[i] = byte(r.IntN(256))
				}
				more[name] = string(value)
			}
			again := func(more map[string]string) map[string]string {
				b := newBench(t)
				b.keys(more)
				b.good(sealAll)
				return b.secretsOf(b.newestSecrets(), kind.Options{Identities: recoveryIdentity(t)})
			}
			first := again(more)
			for name, value := range more {
				if first[name] != value {
					t.Errorf("%s came back as another", name)
				}
			}
			if second := again(first); !maps.Equal(first, second) || len(first) != len(more)+2 {
				t.Errorf("got %d, then %d secrets of %d", len(first), len(second), len(more)+2)
			}
		})
	}
}
