// Package sealsecrets is the body of seal_secrets: which recipients and custodians open
// the secrets (recipients.go), the sets that these choices make and their shares (set.go),
// and the sealing of what the keyring holds.
package sealsecrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	maxSealed = 64 << 20 // bytes of all secrets together: they are in memory for a moment
	Attempts  = 3
)

// Seal seals the items of the keyring that are meant.
func Seal(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	w := systems.Of(s)
	asset, err := w.Asset(a.Asset, "credentials")
	if err != nil {
		return runtime.Result{}, err
	}
	who, err := Openers(w.Site, Ask{Recipients: a.Recipients, Threshold: a.Threshold, Custodians: a.Custodians})
	if err != nil {
		return runtime.Result{}, err
	}
	r, err := readKeyring(ctx, s, w, a.Names)
	if err != nil {
		return runtime.Result{}, err
	}
	defer r.clear()
	if err := who.OffHost(ctx, w, r.resident); err != nil {
		return runtime.Result{}, err
	}
	set, err := who.ChooseSet(ctx, s, w)
	if err != nil {
		return runtime.Result{}, err
	}
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: "secrets", Asset: asset, Item: Item, Run: s.Run, Step: s.ID, Source: "keyring",
		Created: s.Now(), Declared: who.Declared(set, len(r.names))}
	if dir := w.Site.Keyring.Dir; dir != "" && w.Env.Root == "" {
		art.Devices = w.DevicesOf(dir)
	}
	var findings []ledger.Finding
	if art.Gaps, findings, err = r.report(s, asset, a.Names); err != nil {
		return runtime.Result{}, err
	}
	sp, err := w.Spool().Begin(s)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := seal(sp, who, set, r, w.Site.Keyring.Names == bundle.Shown); err != nil {
		sp.Discard()
		return runtime.Result{}, err
	}
	if art.Files, art.Origin, err = sp.Done(); err != nil {
		sp.Discard()
		return runtime.Result{}, err
	}
	for _, f := range art.Files {
		art.Bytes += f.Size
	}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}, Findings: findings}}, nil
}

// Request is what a policy asks for; seal_secrets documents its arguments.
type Request struct {
	Names, Recipients []string
	Threshold         int
	Custodians        map[string]string
	Asset             string
}

// secretsRead is what was read of the keyring.
type secretsRead struct {
	names    []string // sorted
	values   [][]byte
	resident map[string]bool // recipients whose identities are items of this keyring

	opened int // items, meant or not
	total  int // bytes
	locked []lockedItem
	stray  []keyring.Stray
}

type lockedItem struct {
	name string
	err  error
}

// clear forgets the values. Copies that the backend made are beyond reach.
func (r *secretsRead) clear() {
	for _, v := range r.values {
		clear(v)
	}
}

// readKeyring reads every item, those that are not meant, too: one of them may be
// the identity that the secrets would be sealed to. What is not an item, and an item that
// does not open while others do, keeps no other from being sealed.
func readKeyring(ctx context.Context, s *runtime.Step, w *systems.Systems, patterns []string) (*secretsRead, error) {
	k := w.Env.Keyring
	if k == nil {
		return nil, &failure.Error{Code: keyring.CodeSecret, Doing: "read the keyring", Said: "no keyring is configured"}
	}
	all, err := k.List()
	if err != nil {
		return nil, keyringError(err)
	}
	s.Log("keyring: %d items", len(all))
	r := &secretsRead{resident: map[string]bool{}}
	if r.stray, err = k.Stray(); err != nil {
		return nil, keyringError(err)
	}
	for i, name := range all {
		if err := r.read(ctx, k, name, patterns, fmt.Sprintf("item %d of %d", i+1, len(all))); err != nil {
			r.clear()
			return nil, keyringError(err)
		}
	}
	again, err := k.List()
	if err == nil && !slices.Equal(all, again) {
		err = changed("items were added, removed or renamed")
	}
	if err == nil && r.opened == 0 && len(r.locked) > 0 {
		err = r.locked[0].err
	}
	if err == nil && len(r.names) == 0 {
		err = &failure.Error{Code: keyring.CodeEmpty, Doing: "read the keyring",
			Said: fmt.Sprintf("no item matches %q (%d in the keyring)", patterns, len(all)), Hint: "runner secret list shows the names"}
		if len(all) == 0 {
			err = &failure.Error{Code: keyring.CodeEmpty, Doing: "read the keyring", Said: "it holds nothing",
				Hint: "is it the right one? keyring(...) in site.star names it, runner secret set NAME fills it"}
		}
	}
	if err != nil {
		r.clear()
		return nil, keyringError(err)
	}
	return r, nil
}

// read takes one item.
func (r *secretsRead) read(ctx context.Context, k *keyring.Keyring, name string, patterns []string, which string) error {
	value, err := k.Get(ctx, name)
	if errors.Is(err, keyring.ErrNoItem) {
		if value, err = k.Get(ctx, name); errors.Is(err, keyring.ErrNoItem) {
			return r.absent(k, name, which)
		}
	}
	switch {
	case errors.Is(err, keyring.ErrStray):
		_, why, _ := strings.Cut(err.Error(), keyring.ErrStray.Error()+": ")
		r.stray = append(r.stray, keyring.Stray{Name: name, File: name, Why: why})
		return nil
	case errors.Is(err, keyring.ErrLocked):
		r.locked = append(r.locked, lockedItem{name, err})
		return nil
	case err != nil:
		return err
	}
	r.opened++
	Residents(value, r.resident)
	wanted, err := matches(patterns, name)
	if err != nil || !wanted {
		clear(value)
		return err
	}
	r.names, r.values = append(r.names, name), append(r.values, value)
	if r.total += len(value); len(value) > bundle.MaxSecret || r.total > maxSealed {
		return &failure.Error{Code: CodeSize, Doing: "read the keyring",
			Said: fmt.Sprintf("%s makes it more than %d bytes, or has more than %d itself", which, maxSealed, bundle.MaxSecret),
			Hint: "a keyring is for keys and passwords: save large files as files"}
	}
	return nil
}

// absent is for what is listed and cannot be had: it was removed meanwhile, or it is
// another program's. The Secret Service lists those, too, and gives out none of them.
func (r *secretsRead) absent(k *keyring.Keyring, name, which string) error {
	again, err := k.List()
	if err != nil {
		return err
	}
	if !slices.Contains(again, name) {
		return changed(which + " is gone")
	}
	r.stray = append(r.stray, keyring.Stray{Name: name, File: name, Why: keyring.Foreign})
	return nil
}

// tell says what was not sealed. An item that does not open is a fault; a file that
// could have been an item is a gap; of any other there is a word.
func (r *secretsRead) report(s *runtime.Step, asset string, patterns []string) (gaps []ledger.Gap, findings []ledger.Finding, err error) {
	for _, l := range r.locked {
		wanted, err := matches(patterns, l.name)
		if err != nil {
			return nil, nil, err
		}
		if wanted {
			text, _, _ := strings.Cut(l.err.Error(), "\nhint: ")
			findings = append(findings, ledger.Finding{Severity: ledger.Failed, Asset: asset, Item: Item, Text: "an item is not sealed: " + text,
				Type: "runner secret set " + l.name})
		}
	}
	for _, x := range r.stray {
		wanted, err := matches(patterns, x.Name)
		switch {
		case err != nil:
			return nil, nil, err
		case !wanted:
		case site.CheckSecretName(x.Name) != nil || x.Why == keyring.Folder || x.Why == keyring.Foreign:
			s.Log("%q in the keyring is not sealed: %s", x.File, x.Why)
		default:
			gaps = append(gaps, ledger.Gap{Asset: asset, Item: Item, What: "file " + x.File,
				Why: x.Why + ", and an item could have this name: it is not sealed. Set it anew, or move the file away"})
		}
	}
	return gaps, findings, nil
}

func changed(said string) error {
	return &failure.Error{Code: CodeChanged, Doing: "read the keyring", Said: said + " since it was listed", Temporary: true,
		Hint: "somebody works on the keyring right now"}
}

// keyringError gives an error of the client a code. It names items of the keyring
// only where an operator needs the name to act: the one that does not open.
func keyringError(err error) error {
	var own *failure.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, runtime.ErrInterrupted) {
		return err
	}
	text, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	return &failure.Error{Code: keyring.CodeLocked, System: "keyring", Doing: "read the keyring", Said: text, Hint: hint, Cause: err}
}

func matches(patterns []string, name string) (bool, error) {
	for _, p := range patterns {
		ok, err := path.Match(p, name)
		if err != nil {
			return false, &failure.Error{Code: keyring.CodeEmpty, Doing: "match the names", Said: fmt.Sprintf("%q is not a pattern", p),
				Hint: "patterns are as in a shell: pve-*, site/*"}
		}
		if ok {
			return true, nil
		}
	}
	return len(patterns) == 0, nil
}

// seal writes the files of the artifact: what is to be read first, first.
func seal(sp *spool.Draft, who *Opening, set *Set, r *secretsRead, shown bool) error {
	key := make([]byte, 32)
	defer clear(key)
	rand.Read(key) // never fails
	x := &bundle.Index{V: 1, Set: set.ID, Names: bundle.Hidden}
	if shown {
		x.Names = bundle.Shown
	}
	for i, name := range r.names {
		it := bundle.Item{Hash: bundle.NameHash(key, name), Size: bundle.Rounded(int64(len(r.values[i])))}
		if shown {
			it.Name = name
		}
		x.Items = append(x.Items, it)
	}
	slices.SortFunc(x.Items, func(a, b bundle.Item) int { return strings.Compare(a.Hash, b.Hash) }) // their order would tell, too
	canaries := map[string][]byte{}
	classes := who.Classes(set)
	for _, class := range classes {
		f := bundle.File{Bundle: "bundle.age", Canary: "canary.age", Class: class.Name, Recipients: class.Prints}
		if len(classes) > 1 {
			f.Bundle, f.Canary = "bundle-"+class.Short+".age", "canary-"+class.Short+".age"
		}
		n, err := sealBundle(sp, f.Bundle, key, r, class)
		if err != nil {
			return err
		}
		f.Size = n
		var canary bytes.Buffer
		if err := bundle.WriteCanary(&canary, set.ID, class.Recipients...); err != nil {
			return err
		}
		if err := sp.Put(f.Canary, canary.Bytes()); err != nil {
			return err
		}
		canaries[class.Name] = canary.Bytes()
		x.Bundles = append(x.Bundles, f)
	}
	if err := set.Write(sp, x, canaries[bundle.Hybrid]); err != nil {
		return err
	}
	text, err := x.Encode()
	if err != nil {
		return err
	}
	return sp.Put(bundle.IndexFile, text)
}

// sealBundle says how many bytes the bundle has, sealed.
func sealBundle(sp *spool.Draft, name string, key []byte, r *secretsRead, class Class) (int64, error) {
	f, err := sp.Create(name)
	if err != nil {
		return 0, err
	}
	out := &counted{w: f}
	b, err := bundle.NewWriter(out, key, class.Recipients...)
	for i := range r.names {
		if err == nil {
			err = b.Add(r.names[i], int64(len(r.values[i])), bytes.NewReader(r.values[i]))
		}
	}
	if err == nil {
		err = b.Close()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return out.n, err
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
