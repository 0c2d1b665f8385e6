package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// witness returns what signs the checkpoints of this host: the key in its keyring, made
// with the first run that leaves copies, whose verifier is recorded in the ledger.
// Without a keyring that can be opened, and when none was ever used here, there is none.
func witness(ctx context.Context, w *systems.Systems, l *ledger.Ledger, host string) (signer string, err error) {
	known, err := ledger.All[ledger.CheckpointKey](ctx, l, ledger.Query{Kind: ledger.RowWitness})
	if err != nil {
		return "", err
	}
	k := w.Env.Keyring
	if k == nil {
		return "", nil
	}
	raw, err := k.Get(ctx, keyring.CheckpointKey)
	if errors.Is(err, keyring.ErrNoItem) {
		var verifier string
		if signer, verifier, err = ledger.NewCheckpointKey(host); err != nil {
			return "", err
		}
		raw = []byte(signer + "\n" + verifier)
		err = k.Set(keyring.CheckpointKey, raw)
	}
	defer clear(raw)
	switch {
	case err != nil && len(known) == 0:
		return "", nil // a site without secrets has no keyring to open
	case err != nil:
		return "", fmt.Errorf("read the key that signs checkpoints: %w", err)
	}
	signer, verifier, ok := strings.Cut(string(raw), "\n")
	if !ok {
		return "", fmt.Errorf("read the key that signs checkpoints: item %s of the keyring is not a signing key\nhint: runner secret remove "+
			"%s: the next run makes a new one", keyring.CheckpointKey, keyring.CheckpointKey)
	}
	for _, have := range known {
		if have.Verifier == verifier {
			return signer, nil
		}
	}
	head, err := l.Head(ctx)
	if err != nil {
		return "", err
	}
	e, err := ledger.NewEntry(ledger.Witness, runtime.RealClock{}.Now(), "", "", ledger.CheckpointKey{Verifier: verifier, Size: head.Size})
	if err == nil {
		_, err = l.Record(ctx, e)
	}
	return signer, err
}

// unwitnessed says what is wrong with the signature of a checkpoint; "" is nothing. One
// that is older than the first key of its ledger has none.
func (k *known) unwitnessed(head ledger.Head, text string) string {
	if len(k.verifiers) == 0 || head.Size <= k.signed || head.Size <= k.gap { // of a ledger that was lost, and its key with it
		return ""
	}
	if err := ledger.SignedBy(text, k.verifiers); err != nil {
		return err.Error()
	}
	return ""
}
