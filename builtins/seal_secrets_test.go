package builtins

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// marked is a secret that is looked for afterwards.
const marked = "xyzzy-marked-value-4711-plugh"

// keys makes a keyring of its own for a bench: the lab's secrets, a marked one, and
// what is given.
func (b *bench) keys(more map[string]string) {
	b.t.Helper()
	b.ring = filepath.Join(b.dir, "ring")
	k := labKeyring(b.ring)
	all := map[string]string{"offsite-ssh-key": string(lab.Secrets()["offsite-ssh-key"]), "site/marked": marked}
	for name, value := range more {
		all[name] = value
	}
	for name, value := range all {
		if err := k.Set(name, []byte(value)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func newKey(t *testing.T) (id *age.X25519Identity, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}

// bring brings an artifact in the spool back, as recover does from a medium.
func (b *bench) bring(a ledger.Artifact, o kind.Options) (*kind.Job, error) {
	b.t.Helper()
	j := &kind.Job{Artifact: a, Into: b.t.TempDir(), Options: o, Open: func(_ context.Context, file string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(b.dir, "spool", a.ID, file))
	}}
	k, _ := kind.Find("secrets")
	return j, k.Recover(b.t.Context(), j)
}

func (b *bench) secretsOf(a ledger.Artifact, o kind.Options) map[string]string {
	b.t.Helper()
	out := map[string]string{}
	o.Keyring = func(name string, value []byte) error { out[name] = string(value); return nil }
	if _, err := b.bring(a, o); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) newestSecrets() ledger.Artifact {
	b.t.Helper()
	list := b.artifacts()
	return list[len(list)-1]
}

func recoveryIdentity(t *testing.T) []age.Identity {
	t.Helper()
	ids, err := age.ParseIdentities(strings.NewReader(lab.RecoveryIdentity))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func fileNames(a ledger.Artifact) (out []string) {
	for _, f := range a.Files {
		out = append(out, f.Name)
	}
	return out
}

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
	if index := b.spooled(a, "index.json"); missing(index, []string{`"names": "hidden"`, `"class": "hybrid"`}) != "" || strings.Contains(index, "marked") || strings.Contains(index, "ssh") {
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
	if j, err := b.bring(a, kind.Options{Identities: []age.Identity{other}}); err == nil || missing(err.Error(), []string{"none of the keys opens it", "--identity"}) != "" || len(j.Paths) != 0 {
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
	if err == nil || !strings.Contains(err.Error(), "bring back secret a/b: it is not taken") || len(got) != 4 || got["a/b/c"] != "three" || got["site/marked"] != marked {
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

func recoveryRecipient(t *testing.T) string {
	t.Helper()
	return recoveryIdentity(t)[0].(*age.HybridIdentity).Recipient().String()
}

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
	if got := strings.Join(fileNames(a), " "); got != "bundle.age canary.age share-anna.age share-ben.age share-carla.age share-README.txt index.json" {
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
	if got := b.secretsOf(a, kind.Options{Shares: []string{b.spooled(a, "share-anna.age"), shares["ben"]}, Identities: []age.Identity{keys["anna"]}}); got["site/marked"] != marked {
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

// A target's own seal is around the shares as well, and who finds the files is told.
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
	if _, err := b.bring(a, kind.Options{Shares: []string{good, b.shareOf(other, "ben", keys["ben"])}}); err == nil || missing(err.Error(), []string{"share 2", "sealed anew"}) != "" {
		t.Errorf("a share of another set: got %v", err)
	}
	raw := []byte(b.spooled(a, "index.json")) // as if ben's share had been replaced: its commitment is not there
	raw = bytes.ReplaceAll(raw, []byte(a.Declared["share ben"]), []byte(strings.Repeat("0", 64)))
	if err := os.WriteFile(filepath.Join(b.dir, "spool", a.ID, "index.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.bring(a, kind.Options{Shares: []string{good, b.shareOf(a, "ben", keys["ben"])}}); err == nil || missing(err.Error(), []string{"share 2", "somebody changed it"}) != "" {
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
	if first.ID == second.ID || first.Declared["set"] != second.Declared["set"] || first.Declared["share anna"] != second.Declared["share anna"] {
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
	if third.Declared["set"] == second.Declared["set"] || !b.told("cannot be taken over", "share-ben.age is not what was recorded") {
		t.Errorf("got %v", third.Declared)
	}
	_, recipient := newKey(t)
	b.good(fmt.Sprintf(`return seal_secrets(recipients = [%q])`, recipient))
	fourth := b.newestSecrets()
	if fourth.Declared["set"] == third.Declared["set"] || !b.told("supersedes "+third.Declared["set"]) {
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

// No fault of the table ends well, each has the outcome that is declared, and none
// leaves an artifact.
func TestSealSecretsFaults(t *testing.T) {
	t.Parallel()
	_, other := newKey(t)
	resident, here := newKey(t)
	for _, c := range []struct {
		name  string
		site  []string
		keys  map[string]string
		ring  func(b *bench)
		call  string
		code  string
		words []string
	}{
		{name: "a keyring that is locked", ring: func(b *bench) { relock(b, "site/marked") }, code: "E_KEYRING_LOCKED", words: []string{"password is wrong"}},
		{name: "a keyring that others can read", ring: func(b *bench) { check(b, os.Chmod(b.ring, 0o755)) }, code: "E_KEYRING_LOCKED", words: []string{"can be read by others"}},
		{name: "an empty keyring", ring: func(b *bench) { b.ring = filepath.Join(b.dir, "none") }, code: "E_KEYRING_EMPTY", words: []string{"holds nothing", "runner secret set"}},
		{name: "nothing that is meant", call: `seal_secrets(names = ["nobody/*"])`, code: "E_KEYRING_EMPTY", words: []string{"none of its 2 items"}},
		{name: "a pattern that is none", call: `seal_secrets(names = ["["])`, code: "E_KEYRING_EMPTY", words: []string{"is no pattern"}},
		{name: "no recipient", site: withoutSeals(), code: "E_NO_RECIPIENT", words: []string{"nobody could open them", "recovery-key new"}},
		{name: "a recipient that is none", call: `seal_secrets(recipients = ["ssh-ed25519 AAAA"])`, code: "E_NO_RECIPIENT", words: []string{"recipient 1 is no age recipient"}},
		{name: "the recovery identity in the keyring", keys: map[string]string{"recovery": "# kept here\n" + lab.RecoveryIdentity + "\n"}, code: "E_RECIPIENT_ON_HOST", words: []string{"lie in this host's keyring", "on_host = True"}},
		{name: "the same, where it is not sealed itself", keys: map[string]string{"recovery": lab.RecoveryIdentity}, call: `seal_secrets(names = ["site/*"])`, code: "E_RECIPIENT_ON_HOST", words: []string{"would be lost"}},
		{name: "enough custodians in the keyring", keys: map[string]string{"a": resident.String()}, call: fmt.Sprintf(`seal_secrets(threshold = 2, recipients = [%q], custodians = {"a": %q, "b": %q})`, here, here, other), code: "", words: nil},
		{name: "a threshold of one", call: fmt.Sprintf(`seal_secrets(threshold = 1, custodians = {"a": %q})`, other), code: "E_CUSTODIANS", words: []string{"each custodian alone"}},
		{name: "more than there are", call: fmt.Sprintf(`seal_secrets(threshold = 2, custodians = {"a": %q})`, other), code: "E_CUSTODIANS", words: []string{"nobody could ever open"}},
		{name: "one person twice", call: fmt.Sprintf(`seal_secrets(threshold = 2, custodians = {"a": %q, "b": %q})`, other, other), code: "E_CUSTODIANS", words: []string{"they are one"}},
		{name: "custodians without a threshold", call: fmt.Sprintf(`seal_secrets(custodians = {"a": %q})`, other), code: "E_CUSTODIANS", words: []string{"no threshold"}},
		{name: "a site without the row", site: []string{`name = "credentials"`, `name = "other"`}, code: "E_NO_ASSET", words: []string{"credentials"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			b.keys(c.keys)
			if c.ring != nil {
				c.ring(b)
			}
			call := c.call
			if call == "" {
				call = "seal_secrets()"
			}
			out := b.run("return " + call)
			if c.code == "" { // one of two custodians here: the other is elsewhere
				if out.Err != nil {
					t.Fatal(out.Err)
				}
				return
			}
			wantCode(t, out, c.code, c.words...)
			if strings.Contains(out.Err.Error(), marked) || strings.Contains(out.Err.Error(), "AGE-SECRET-KEY-") {
				t.Errorf("the error shows a secret: %v", out.Err)
			}
			if arts := b.artifacts(); len(arts) != 0 {
				t.Errorf("got %d artifacts", len(arts))
			}
		})
	}
}

func check(b *bench, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// relock puts an item in place that was made with another password.
func relock(b *bench, name string) {
	b.t.Helper()
	dir := filepath.Join(b.dir, "other")
	k := NewKeyring(KeyringConfig{Backend: "file", Dir: dir, Password: func() (string, error) { return "other", nil }})
	check(b, k.Set(name, []byte("v")))
	list, err := os.ReadDir(dir)
	check(b, err)
	raw, err := os.ReadFile(filepath.Join(dir, list[0].Name()))
	check(b, err)
	check(b, os.WriteFile(filepath.Join(b.ring, list[0].Name()), raw, 0o600))
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

// An item that is renamed while the keyring is read is never a silent gap: the call
// is tried again, and where it goes on so, it fails.
func TestAnItemThatIsRenamedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprintf("once: %t", ends), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.keys(nil)
			k := labKeyring(b.ring)
			cfg := b.config(main(sealAll))
			n := 0
			cfg.Observe = func(e runtime.Event) {
				if e.Kind != runtime.EventLog || !strings.Contains(e.Text, "keyring: ") || ends && n > 0 {
					return
				}
				old := "site/marked"
				if n > 0 {
					old = fmt.Sprintf("site/renamed-%d", n)
				}
				n++
				if err := errors.Join(k.Remove(old), k.Set(fmt.Sprintf("site/renamed-%d", n), []byte(marked))); err != nil {
					t.Error(err)
				}
			}
			out, err := runtime.Exec(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !ends {
				wantCode(t, out, "E_SECRET_CHANGED", "is gone")
				return
			}
			if out.Err != nil || n != 1 {
				t.Fatalf("got %v after %d changes", out.Err, n)
			}
			if got := b.secretsOf(b.newestSecrets(), kind.Options{Identities: recoveryIdentity(t)}); got["site/renamed-1"] != marked || len(got) != 2 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What can be seen of the artifact without a key is held against its index.
func TestSealedSecretsThatWereChangedAreFound(t *testing.T) {
	t.Parallel()
	b, call, _ := withCustodians(t)
	b.good(call)
	a := b.newestSecrets()
	good := map[string]string{}
	for _, f := range a.Files {
		good[f.Name] = b.spooled(a, f.Name)
	}
	open := func(files map[string]string) error {
		k, _ := kind.Find("secrets")
		c := k.Open()
		for _, f := range a.Files {
			if text, there := files[f.Name]; there {
				if err := c.File(t.Context(), f.Name, strings.NewReader(text)); err != nil {
					return err
				}
			}
		}
		if extra, there := files["extra.age"]; there {
			if err := c.File(t.Context(), "extra.age", strings.NewReader(extra)); err != nil {
				return err
			}
		}
		return c.End()
	}
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(map[string]string){
		"no index":                   func(f map[string]string) { delete(f, "index.json") },
		"no bundle":                  func(f map[string]string) { delete(f, "bundle.age") },
		"no canary":                  func(f map[string]string) { delete(f, "canary.age") },
		"no share":                   func(f map[string]string) { delete(f, "share-ben.age") },
		"no way to combine":          func(f map[string]string) { delete(f, "share-README.txt") },
		"the canary as the bundle":   func(f map[string]string) { f["bundle.age"] = f["canary.age"] },
		"a share as the canary":      func(f map[string]string) { f["canary.age"] = f["share-ben.age"] },
		"a clear bundle":             func(f map[string]string) { f["bundle.age"] = marked },
		"a file that is not indexed": func(f map[string]string) { f["extra.age"] = f["share-ben.age"] },
		"a bundle that was cut":      func(f map[string]string) { f["bundle.age"] = f["bundle.age"][:len(f["bundle.age"])-1000] },
		"an index with a value": func(f map[string]string) {
			f["index.json"] = strings.Replace(f["index.json"], `"v": 1`, `"v": 1, "value": "x"`, 1)
		},
	} {
		files := map[string]string{}
		for n, text := range good {
			files[n] = text
		}
		edit(files)
		if err := open(files); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// No form of a secret is found in anything that a run leaves or says.
func TestSecretsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	b, call, _ := withCustodians(t)
	cfg := b.config(main(`a = `+strings.TrimPrefix(call, "return "), `return verify(copies = copy(artifact = a, to = ["offsite", "second-disk"]))`))
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
	return []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:32], hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
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
