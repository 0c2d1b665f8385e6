package builtins

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kinds"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

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
	k, _ := kinds.Find(a.Kind)
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

func recoveryRecipient(t *testing.T) string {
	t.Helper()
	return recoveryIdentity(t)[0].(*age.HybridIdentity).Recipient().String()
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
