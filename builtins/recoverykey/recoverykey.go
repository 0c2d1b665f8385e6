// Package recoverykey says whether somebody still has a recovery key, and which copies
// hang on one that is given up.
//
// That a copy is sealed to a key says nothing of whether anybody can read the sheet
// and type it right: only a copy that it opened does. What is opened is a canary,
// where the copy is one of sealed secrets, and else the header and the first bytes of
// a sealed file; nothing that is secret is shown.
package recoverykey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/ledger"
)

// ErrNothing says that a target has no copy that a key could be tried on.
var ErrNothing = errors.New("there is no sealed copy yet")

// othersError says that a copy opens, and the secrets in it do not: they are sealed
// to others. That is not a proof of the key.
type othersError struct{ to []string }

func (e *othersError) Error() string {
	return "its secrets are sealed to others: " + strings.Join(e.to, ", ")
}

// Try opens the newest copy on a target with a key. What comes back lacks only when
// and by whom. Where secrets are sealed to others, the newest copy of something else
// is opened, and the note says so.
func Try(ctx context.Context, w *systems.Systems, c ledger.Catalog, name string, id age.Identity) (proof ledger.KeyProof, note string,
	err error) {
	secrets, sealed, err := candidates(ctx, c, name)
	if err != nil {
		return proof, "", err
	}
	copies := append(secrets[:len(secrets):len(secrets)], sealed...)
	if len(copies) == 0 {
		return proof, "", fmt.Errorf("try the key on %s: %w", name, ErrNothing)
	}
	t, err := w.Target(ctx, name)
	if err != nil {
		return proof, "", err
	}
	defer t.Close()
	// The newest one decides: that an older copy opens is of no use for today's.
	proof, err = tryCopy(ctx, t, copies[0], name, id)
	var others *othersError
	if errors.As(err, &others) && len(sealed) > 0 {
		note = fmt.Sprintf("the secrets in copy %s of %s are not for this key: they are sealed to %s", copies[0].ID, copies[0].Item,
			strings.Join(others.to, ", "))
		proof, err = tryCopy(ctx, t, sealed[0], name, id)
	}
	return proof, note, err
}

func tryCopy(ctx context.Context, t *target.Target, cp ledger.Copy, name string, id age.Identity) (_ ledger.KeyProof, err error) {
	proof := ledger.KeyProof{Recipient: target.Fingerprint(bundle.RecipientOf(id)), Target: name, Copy: cp.ID}
	if len(cp.SealedTo) > 0 && !slices.Contains(cp.SealedTo, proof.Recipient) {
		return proof, fmt.Errorf("try the key on %s: the copy of %s of %s is sealed to %s, and this is the key of %s\nhint: it is another "+
			"sheet, or one that was replaced: runner recovery-key replace --old %s",
			name, cp.Item, cp.Taken.UTC().Format("2006-01-02 15:04Z"), strings.Join(cp.SealedTo, ", "), proof.Recipient, proof.Recipient)
	}
	if proof.What, err = open(ctx, t, cp, id); err != nil {
		return proof, fmt.Errorf("try the key on %s: copy of %s of %s: %w", name, cp.Item, cp.Taken.UTC().Format("2006-01-02 15:04Z"), err)
	}
	return proof, nil
}

// candidates are the copies that a key opens: those with a canary, and others that
// the target sealed; of each the newest first.
func candidates(ctx context.Context, c ledger.Catalog, name string) (canaries, sealed []ledger.Copy, err error) {
	all, err := c.Copies(ctx, ledger.Query{Target: name})
	if err != nil {
		return nil, nil, err
	}
	for _, cp := range slices.Backward(all) {
		switch {
		case len(cp.Files) == 0:
		case cp.Kind == "secrets":
			canaries = append(canaries, cp)
		case len(cp.SealedTo) > 0:
			sealed = append(sealed, cp)
		}
	}
	return canaries, sealed, nil
}

// open says what the key opened.
func open(ctx context.Context, t *target.Target, cp ledger.Copy, id age.Identity) (string, error) {
	if cp.Kind != "secrets" {
		r, err := t.OpenFile(ctx, cp, ledger.File{Name: cp.Files[0].Of}, []age.Identity{id})
		if err != nil {
			return "", err
		}
		defer r.Close()
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil && err != io.EOF {
			return "", err
		}
		return "header", nil
	}
	read := func(file string) ([]byte, error) {
		r, err := t.OpenFile(ctx, cp, ledger.File{Name: file}, []age.Identity{id})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, bundle.MaxIndex+1))
	}
	raw, err := read(bundle.IndexFile)
	if err != nil {
		return "", err
	}
	x, err := bundle.ParseIndex(raw)
	if err != nil {
		return "", err
	}
	own := target.Fingerprint(bundle.RecipientOf(id))
	for _, b := range x.Bundles {
		if !slices.Contains(b.Recipients, own) {
			continue
		}
		if raw, err = read(b.Canary); err != nil {
			return "", err
		}
		return "canary", bundle.OpenCanary(strings.NewReader(string(raw)), x.Set, id)
	}
	return "", &othersError{recipients(x)} // even where the target's seal opened
}

func recipients(x *bundle.Index) (out []string) {
	for _, b := range x.Bundles {
		out = append(out, b.Recipients...)
	}
	return out
}
