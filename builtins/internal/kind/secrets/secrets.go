// Package secrets is the kind of a keyring's sealed items.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/format/share"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// secrets are kept in the spool for the shares in them: they are sealed to their
// custodians, and stay the same until who can open the secrets changes.
// Kind is a set of sealed secrets.
func Kind() kind.Kind {
	return kind.Kind{Name: "secrets", Title: "the keyring's secrets", Keep: true, Keyed: true,
		Open:    func() target.Checker { return &secretsChecker{sealed: map[string]bundle.Sealed{}} },
		Recover: recoverSecrets, Commands: secretsCommands}
}

// secretsChecker holds what can be seen without a key against the index: nobody
// here is meant to have one.
type secretsChecker struct {
	index  *bundle.Index
	sealed map[string]bundle.Sealed
	readme bool
}

func (c *secretsChecker) File(ctx context.Context, name string, r io.Reader) (err error) {
	switch {
	case name == bundle.IndexFile:
		c.index, err = readIndex(r)
	case name == bundle.ShareReadme:
		c.readme = true
		_, err = io.Copy(io.Discard, r)
	default:
		c.sealed[name], err = bundle.ReadSealed(r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func readIndex(r io.Reader) (*bundle.Index, error) {
	raw, err := io.ReadAll(io.LimitReader(r, bundle.MaxIndex+1))
	if err != nil {
		return nil, err
	}
	return bundle.ParseIndex(raw)
}

func (c *secretsChecker) End() error {
	if c.index == nil {
		return fmt.Errorf("%s is missing", bundle.IndexFile)
	}
	named := map[string]bool{}
	for _, b := range c.index.Bundles {
		for _, file := range []string{b.Bundle, b.Canary} {
			named[file] = true
			s, there := c.sealed[file]
			if !there {
				return fmt.Errorf("%s is missing", file)
			}
			if s.Of(b.Class) != len(b.Recipients) || len(s.Stanzas) != len(b.Recipients) {
				return fmt.Errorf("%s is sealed to %d recipients (%s); the index names %d that are %s", file, len(s.Stanzas),
					strings.Join(s.Stanzas, ", "), len(b.Recipients), b.Class)
			}
		}
		if got := c.sealed[b.Bundle].Size; got != b.Size {
			return fmt.Errorf("%s has %d bytes; the index says %d", b.Bundle, got, b.Size)
		}
	}
	for _, k := range c.index.Custodians {
		named[k.File] = true
		if s, there := c.sealed[k.File]; !there || len(s.Stanzas) != 1 {
			return fmt.Errorf("%s is missing, or not sealed to %s alone", k.File, k.Name)
		}
	}
	if len(c.index.Custodians) > 0 && !c.readme {
		return fmt.Errorf("%s is missing", bundle.ShareReadme)
	}
	for name := range c.sealed {
		if !named[name] {
			return fmt.Errorf("%s is not in the index", name)
		}
	}
	return nil
}

// Note says what is proven of what nobody here can open.
func (c *secretsChecker) Note() string {
	return fmt.Sprintf("%d secrets of set %s, sealed: headers and canaries agree with the index", len(c.index.Items), c.index.Set)
}

// recoverSecrets opens the bundle with the recovery identity, or with the shares of
// custodians, into a new keyring or into files of mode 0600.
func recoverSecrets(ctx context.Context, j *kind.Job) error {
	r, err := j.Open(ctx, bundle.IndexFile)
	if err != nil {
		return err
	}
	x, err := readIndex(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	ids, err := secretsKeys(ctx, j, x)
	if err != nil {
		return err
	}
	b, err := openCanaries(ctx, j, x, ids)
	if err != nil {
		return err
	}
	// Once to the end, before anything is written: is it whole, and what the index says?
	if err := eachSecret(ctx, j, b, x, ids, func(string, io.Reader) error { return nil }); err != nil {
		return err
	}
	var names []string
	var failed []error
	err = eachSecret(ctx, j, b, x, ids, func(name string, r io.Reader) error {
		if err := putSecret(j, name, r); err != nil {
			// The others are wanted as much.
			failed = append(failed, fmt.Errorf("bring back secret %s: %w", name, err))
			_, err := io.Copy(io.Discard, r)
			return err
		}
		names = append(names, name)
		return nil
	})
	where := "files of mode 0600 below " + filepath.Join(j.Into, "secrets")
	if j.Options.Keyring != nil {
		where = "the keyring"
	}
	j.Say = append(j.Say, fmt.Sprintf("%d secrets of set %s are in %s: %s", len(names), x.Set, where, strings.Join(names, ", ")))
	return errors.Join(append(failed, err)...)
}

// putSecret stores one secret, and forgets it.
func putSecret(j *kind.Job, name string, r io.Reader) error {
	if j.Options.Keyring == nil {
		path := filepath.Join(j.Into, "secrets", filepath.FromSlash(bundle.Escape(name)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err := kind.WriteFile(path, r)
		if err == nil {
			j.Paths = append(j.Paths, path)
		}
		return err
	}
	value, err := io.ReadAll(r)
	defer clear(value)
	if err != nil {
		return err
	}
	return j.Options.Keyring(name, value)
}

// eachSecret reads a bundle to its end, against the index.
func eachSecret(ctx context.Context, j *kind.Job, b bundle.File, x *bundle.Index, ids []age.Identity,
	fn func(string, io.Reader) error) error {
	raw, err := j.Open(ctx, b.Bundle)
	if err != nil {
		return err
	}
	defer raw.Close()
	in, err := bundle.NewReader(raw, ids...)
	if err != nil {
		return err
	}
	want := map[string]bundle.Item{}
	for _, it := range x.Items {
		want[it.Hash] = it
	}
	for {
		name, size, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		hash := bundle.NameHash(in.Key, name)
		it, there := want[hash]
		if !there || it.Size != bundle.Rounded(size) || size > bundle.MaxSecret || it.Name != "" && it.Name != name {
			return fmt.Errorf("%s holds a secret that the index does not, or of another size", b.Bundle)
		}
		delete(want, hash)
		if err := fn(name, in); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("%s lacks %d secrets of the index", b.Bundle, len(want))
	}
	_, err = io.Copy(io.Discard, raw) // the digest is checked at its end
	return err
}

// openCanaries finds the bundle that the keys open.
func openCanaries(ctx context.Context, j *kind.Job, x *bundle.Index, ids []age.Identity) (bundle.File, error) {
	for _, b := range x.Bundles {
		r, err := j.Open(ctx, b.Canary)
		if err != nil {
			return b, err
		}
		err = bundle.OpenCanary(r, x.Set, ids...)
		r.Close()
		if err == nil {
			return b, nil
		}
		if none := new(age.NoIdentityMatchError); !errors.As(err, &none) {
			return b, err
		}
	}
	var to []string
	for _, b := range x.Bundles {
		to = append(to, b.Recipients...)
	}
	return bundle.File{}, fmt.Errorf("open the canary of set %s: none of the keys opens it\nhint: it is sealed to %s; give the identity of "+
		"one of them with --identity%s", x.Set, strings.Join(to, ", "), orShares(x))
}

func orShares(x *bundle.Index) string {
	if x.Threshold == 0 {
		return ""
	}
	return fmt.Sprintf(", or %d of %d shares with --share", x.Threshold, len(x.Custodians))
}

// secretsKeys are the identities that were given, and the one that the shares give.
func secretsKeys(ctx context.Context, j *kind.Job, x *bundle.Index) ([]age.Identity, error) {
	ids := j.Options.Identities
	if len(j.Options.Shares) == 0 {
		if len(ids) == 0 {
			return nil, fmt.Errorf("open the secrets: there is no key\nhint: give the recovery identity with --identity%s", orShares(x))
		}
		return ids, nil
	}
	if x.Threshold == 0 {
		return nil, errors.New("open the secrets: they have no custodians, so no share opens them\nhint: give the recovery identity with " +
			"--identity")
	}
	var list []share.Share
	defer func() {
		for _, s := range list {
			s.Clear()
		}
	}()
	for i, text := range j.Options.Shares {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s, err := openShare(text, ids)
		if err != nil {
			return nil, fmt.Errorf("share %d of those given: %w", i+1, err)
		}
		if err := committed(s, x); err != nil {
			return nil, fmt.Errorf("share %d of those given: %w", i+1, err)
		}
		list = append(list, s)
	}
	secret, err := share.Combine(list)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	own, err := age.ParseIdentities(strings.NewReader(string(secret)))
	if err != nil {
		return nil, errors.New("combine shares: what they give is not an age identity")
	}
	return append(own, ids...), nil
}

// openShare reads a share that its custodian opened, or opens it with an identity.
func openShare(text string, ids []age.Identity) (share.Share, error) {
	if !strings.HasPrefix(text, "age-encryption.org/") {
		return share.Parse(text)
	}
	if len(ids) == 0 {
		return share.Share{}, errors.New("it is still sealed\nhint: its custodian opens it: age -d -i KEYFILE share-NAME.age")
	}
	r, err := age.Decrypt(strings.NewReader(text), ids...)
	if err != nil {
		return share.Share{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, 1<<16))
	defer clear(raw)
	if err != nil {
		return share.Share{}, err
	}
	return share.Parse(string(raw))
}

// committed holds a share against what was recorded when it was made.
func committed(s share.Share, x *bundle.Index) error {
	if s.Set != x.Set {
		return fmt.Errorf("it is of set %s, and these secrets are of set %s: they were sealed anew since, or before\nhint: the shares of a "+
			"set lie beside its copies", s.Set, x.Set)
	}
	for _, c := range x.Custodians {
		if c.Commitment == s.Commitment() {
			return nil
		}
	}
	return fmt.Errorf("not one of the shares that were made: somebody changed it\nhint: its custodian can open share-NAME.age anew; the "+
		"commitments are in %s and in the ledger", bundle.IndexFile)
}

// secretsCommands open the bundle with age and tar alone.
func secretsCommands(a ledger.Artifact, dir string) []string {
	var out []string
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "bundle") {
			out = append(out, `: "${KEY:=/path/to/recovery.key}"   # the identity that the secrets are sealed to`, "mkdir -p -m 700 "+dir+"/opened",
				`age -d -i "$KEY" `+dir+"/"+kind.Quote(f.Name)+" | tar -x -C "+dir+"/opened   # the secrets are in "+dir+"/opened/secrets")
		}
		if f.Name == bundle.ShareReadme {
			out = append(out, "# with custodians: see "+dir+"/"+bundle.ShareReadme)
		}
	}
	return out
}
