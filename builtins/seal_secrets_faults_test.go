package builtins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kinds"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

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
		{name: "a keyring that is locked", ring: func(b *bench) { relock(b, "site/marked"); relock(b, "offsite-ssh-key") },
			code: "E_KEYRING_LOCKED", words: []string{"password is wrong"}},
		{name: "a keyring that others can read", ring: func(b *bench) { check(b, os.Chmod(b.ring, 0o755)) }, code: "E_KEYRING_LOCKED",
			words: []string{"can be read by others"}},
		{name: "an empty keyring", ring: func(b *bench) { b.ring = filepath.Join(b.dir, "none") }, code: "E_KEYRING_EMPTY",
			words: []string{"holds nothing", "runner secret set"}},
		{name: "nothing that is meant", call: `seal_secrets(names = ["nobody/*"])`, code: "E_KEYRING_EMPTY",
			words: []string{"no item matches", "(2 in the keyring)"}},
		{name: "a pattern that is none", call: `seal_secrets(names = ["["])`, code: "E_KEYRING_EMPTY", words: []string{"is not a pattern"}},
		{name: "no recipient", site: withoutSeals(), code: "E_NO_RECIPIENT", words: []string{"nobody could open them", "recovery-key new"}},
		{name: "a recipient that is none", call: `seal_secrets(recipients = ["ssh-ed25519 AAAA"])`, code: "E_NO_RECIPIENT",
			words: []string{"recipient 1 is not an age recipient"}},
		{name: "the recovery identity in the keyring", keys: map[string]string{"recovery": "# kept here\n" + lab.RecoveryIdentity + "\n"},
			code: "E_RECIPIENT_ON_HOST", words: []string{"lie in this host's keyring", "on_host = True"}},
		{name: "the same, where it is not sealed itself", keys: map[string]string{"recovery": lab.RecoveryIdentity},
			call: `seal_secrets(names = ["site/*"])`, code: "E_RECIPIENT_ON_HOST", words: []string{"would be lost"}},
		{name: "enough custodians in the keyring", keys: map[string]string{"a": resident.String()},
			call: fmt.Sprintf(`seal_secrets(threshold = 2, recipients = [%q], custodians = {"a": %q, "b": %q})`, here, here, other), code: "",
			words: nil},
		{name: "a threshold of one", call: fmt.Sprintf(`seal_secrets(threshold = 1, custodians = {"a": %q})`, other), code: "E_CUSTODIANS",
			words: []string{"each custodian alone"}},
		{name: "more than there are", call: fmt.Sprintf(`seal_secrets(threshold = 2, custodians = {"a": %q})`, other), code: "E_CUSTODIANS",
			words: []string{"nobody could ever open"}},
		{name: "one person twice", call: fmt.Sprintf(`seal_secrets(threshold = 2, custodians = {"a": %q, "b": %q})`, other, other),
			code: "E_CUSTODIANS", words: []string{"they are one"}},
		{name: "custodians without a threshold", call: fmt.Sprintf(`seal_secrets(custodians = {"a": %q})`, other), code: "E_CUSTODIANS",
			words: []string{"no threshold"}},
		{name: "a site without the row", site: []string{`name = "credentials"`, `name = "other"`}, code: "E_NO_ASSET",
			words: []string{"credentials"}},
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

// An item that does not open is a fault of the run, and costs no other item its copy.
func TestAnItemThatDoesNotOpenCostsNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	relock(b, "offsite-ssh-key")
	out := b.run(sealAll)
	if out.Err != nil || out.Result != ledger.Failed {
		t.Fatalf("got %s, %v", out.Result, out.Err)
	}
	wantFinding(t, out, ledger.Failed, "an item is not sealed", "offsite-ssh-key", "password is wrong")
	if got := b.secretsOf(b.newestSecrets(), kind.Options{Identities: recoveryIdentity(t)}); got["site/marked"] != marked || len(got) != 1 {
		t.Errorf("got %d secrets", len(got))
	}
}

// What lies in the keyring's folder and is not an item keeps no item from being sealed.
func TestWhatIsNoItemKeepsNoneFromBeingSealed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put      func(b *bench) error
		gap      string
		reported string
	}{
		"lost+found": {func(b *bench) error { return os.Mkdir(filepath.Join(b.ring, "lost+found"), 0o700) }, "",
			`"lost+found" in the keyring is not sealed: it is a folder`},
		"a folder": {func(b *bench) error { return os.Mkdir(filepath.Join(b.ring, "old"), 0o700) }, "",
			`"old" in the keyring is not sealed`},
		".DS_Store": {func(b *bench) error { return os.WriteFile(filepath.Join(b.ring, ".DS_Store"), []byte("junk\n"), 0o644) }, "",
			`".DS_Store" in the keyring is not sealed`},
		".directory": {func(b *bench) error { return os.WriteFile(filepath.Join(b.ring, ".directory"), []byte("x"), 0o644) }, "",
			`".directory"`},
		"an editor's copy": {func(b *bench) error { return duplicate(b, "offsite-ssh-key~") }, "",
			"holds the item offsite-ssh-key under another name"},
		"a copy by hand": {func(b *bench) error { return duplicate(b, "offsite-ssh-key.old") }, "file offsite-ssh-key.old", ""},
		"half an item": {func(b *bench) error { return os.WriteFile(filepath.Join(b.ring, "half"), []byte("eyJhbGciOi"), 0o600) },
			"file half", ""},
		"a file that is cut": {func(b *bench) error { return os.WriteFile(filepath.Join(b.ring, "none"), nil, 0o600) }, "file none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.keys(nil)
			check(b, c.put(b))
			out := b.run(sealAll)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			a := b.newestSecrets()
			if c.gap == "" && len(a.Gaps) != 0 || c.gap != "" && (len(a.Gaps) != 1 || a.Gaps[0].What != c.gap) {
				t.Errorf("got gaps %+v", a.Gaps)
			}
			if c.reported != "" && !b.reported(c.reported) {
				t.Errorf("the operator was told:\n%s", strings.Join(b.lines, "\n"))
			}
			if got := b.secretsOf(a, kind.Options{Identities: recoveryIdentity(t)}); got["site/marked"] != marked || len(got) != 2 {
				t.Errorf("got %d secrets", len(got))
			}
		})
	}
}

func duplicate(b *bench, name string) error {
	raw, err := os.ReadFile(filepath.Join(b.ring, "offsite-ssh-key"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.ring, name), raw, 0o600)
}

func check(b *bench, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
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
			if got := b.secretsOf(b.newestSecrets(), kind.Options{Identities: recoveryIdentity(t)}); got["site/renamed-1"] != marked ||
				len(got) != 2 {
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
		k, _ := kinds.Find("secrets")
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
