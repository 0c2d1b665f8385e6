package sealsecrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/format/share"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Set is one choice of who can open the secrets. It outlives its artifacts: a
// custodian's share of it opens all of them.
type Set struct {
	ID         string
	threshold  int
	identity   string // recipient of the identity that the custodians share
	custodians []bundle.Custodian
	sealed     map[string][]byte // file -> share, sealed to its custodian

	shares []share.Share // of a new set, until they were tried
}

// ChooseSet takes the set of the artifact before when the same may open the secrets,
// and makes a new one otherwise. The private half of the identity of a set is
// nowhere: only its sealed shares can be taken over.
func (o *Opening) ChooseSet(ctx context.Context, s *runtime.Step, w *systems.Systems) (*Set, error) {
	before, err := newestSecrets(ctx, s)
	if err != nil {
		return nil, err
	}
	if before != nil && o.same(before.Declared) {
		old := &Set{ID: before.Declared["set"], threshold: o.threshold}
		if o.threshold == 0 {
			return old, nil
		}
		if err = old.takeOver(ctx, s, w, before); err == nil {
			return old, nil
		}
		s.Log("keyring: the shares of set %s cannot be taken over (%v): a new set is made, and its custodians get new shares", old.ID, err)
	}
	set := &Set{ID: newSetID(), threshold: o.threshold}
	if before != nil {
		s.Log("keyring: set %s supersedes %s, whose copies stay readable with its own keys", set.ID, before.Declared["set"])
	}
	if o.threshold > 0 {
		err = set.split(o.custodians)
	}
	return set, err
}

// same reports that an artifact was sealed to the same.
func (o *Opening) same(d map[string]string) bool {
	if len(d["set"]) != 16 || d["recipients"] != strings.Join(o.prints(), ",") {
		return false
	}
	if o.threshold == 0 {
		return d["threshold"] == ""
	}
	return d["threshold"] == strconv.Itoa(o.threshold) && d["custodians"] == custodianPrints(o.custodians)
}

// newestSecrets is the artifact of the keyring before this step's; nil: there is none.
func newestSecrets(ctx context.Context, s *runtime.Step) (*ledger.Artifact, error) {
	c, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.Artifacts(ctx, ledger.Query{Item: Item})
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Kind == "secrets" && all[i].ID != s.ArtifactID() {
			return &all[i], nil
		}
	}
	return nil, nil
}

// takeOver reads the sealed shares from the artifact before, as the ledger knows it.
func (x *Set) takeOver(ctx context.Context, s *runtime.Step, w *systems.Systems, before *ledger.Artifact) error {
	p, err := w.Spool().Previous(ctx, s, "secrets", Item)
	if err != nil {
		return err
	}
	if p == nil || p.Artifact.ID != before.ID {
		return errors.New("they are not in the spool any more")
	}
	read := func(name string) ([]byte, error) {
		r, err := p.Open(name)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		raw, err := io.ReadAll(io.LimitReader(r, bundle.MaxIndex+1))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		for _, f := range before.Files {
			if f.Name == name && f.SHA256 == hex.EncodeToString(sum[:]) {
				return raw, nil
			}
		}
		return nil, fmt.Errorf("%s is not what was recorded", name)
	}
	raw, err := read(bundle.IndexFile)
	if err != nil {
		return err
	}
	old, err := bundle.ParseIndex(raw)
	if err != nil {
		return err
	}
	if old.Set != x.ID || old.Threshold != x.threshold {
		return errors.New("their index is of another set")
	}
	x.identity, x.custodians, x.sealed = old.Identity, old.Custodians, map[string][]byte{}
	for _, c := range x.custodians {
		if x.sealed[c.File], err = read(c.File); err != nil {
			return err
		}
	}
	return nil
}

// split makes an identity, and shares of it that are sealed to the custodians.
func (x *Set) split(custodians []site.Custodian) error {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return fmt.Errorf("make the identity of the custodians: %w", err)
	}
	secret := []byte(id.String())
	defer clear(secret)
	x.identity, x.sealed = id.Recipient().String(), map[string][]byte{}
	if x.shares, err = share.Split(secret, x.ID, x.threshold, len(custodians), nil); err != nil {
		return err
	}
	for i, c := range custodians {
		r, _, err := bundle.ParseRecipient(c.Recipient)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		w, err := age.Encrypt(&out, r)
		if err == nil {
			_, err = io.WriteString(w, x.shares[i].Text()+"\n")
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return fmt.Errorf("seal the share of %s: %w", c.Name, err)
		}
		k := bundle.Custodian{Name: c.Name, Recipient: target.Fingerprint(c.Recipient), File: "share-" + c.Name + ".age",
			Commitment: x.shares[i].Commitment()}
		x.custodians = append(x.custodians, k)
		x.sealed[k.File] = out.Bytes()
	}
	return nil
}

// Write adds the shares to the artifact, once those that are new were tried.
func (x *Set) Write(sp *spool.Draft, index *bundle.Index, canary []byte) error {
	if x.threshold == 0 {
		return nil
	}
	if err := x.try(canary); err != nil {
		return &failure.Error{Code: CodeShares, Doing: "try the shares of set " + x.ID, Said: err.Error(),
			Hint: "nothing was sealed; this is a defect of the program or of the machine's memory", Cause: err}
	}
	index.Threshold, index.Identity, index.Custodians = x.threshold, x.identity, x.custodians
	for _, c := range x.custodians {
		if err := sp.Put(c.File, x.sealed[c.File]); err != nil {
			return err
		}
	}
	return sp.Put(bundle.ShareReadme, []byte(x.readme()))
}

// maxTried bounds how many choices of custodians are tried.
const maxTried = 256

// try opens the canary with every choice of M new shares, or where there are too
// many with some that are drawn, and forgets the shares.
func (x *Set) try(canary []byte) error {
	defer func() {
		for _, s := range x.shares {
			s.Clear()
		}
		x.shares = nil
	}()
	if len(x.shares) == 0 {
		return nil // taken over: tried when they were made
	}
	open := func(pick []share.Share) error {
		secret, err := share.Combine(pick)
		if err != nil {
			return err
		}
		defer clear(secret)
		ids, err := age.ParseIdentities(bytes.NewReader(secret))
		if err != nil {
			return errors.New("what they give is not an age identity")
		}
		return bundle.OpenCanary(bytes.NewReader(canary), x.ID, ids...)
	}
	if len(x.shares) <= 10 { // at most 252 choices
		return everyChoice(x.shares, x.threshold, nil, open)
	}
	pick := make([]share.Share, x.threshold)
	for range maxTried {
		for i, j := range rand.Perm(len(x.shares))[:x.threshold] {
			pick[i] = x.shares[j]
		}
		if err := open(pick); err != nil {
			return err
		}
	}
	return nil
}

// everyChoice calls fn with every choice of m shares.
func everyChoice(from []share.Share, m int, have []share.Share, fn func([]share.Share) error) error {
	if m == 0 {
		return fn(have)
	}
	for i := range len(from) - m + 1 {
		if err := everyChoice(from[i+1:], m-1, append(have[:len(have):len(have)], from[i]), fn); err != nil {
			return err
		}
	}
	return nil
}

func (x *Set) readme() string {
	var names []string
	for _, c := range x.custodians {
		names = append(names, c.Name)
	}
	return fmt.Sprintf(`The secrets beside this file open with the shares of %d of these custodians: %s.
Set %s. Shares of another set do not fit.

On a target with sealed_to, all these files are sealed once more, to the recovery
key of that target: from there it is needed first, and the shares after it.

With runner, on a machine without a network:
  each custodian:   age -d -i OWN-KEY share-NAME.age > NAME.share     (hybrid keys: age 1.3 or newer)
  then:             runner recover --from MEDIUM --item %s --to DIR --share A.share --share B.share ...

Without runner: save what follows the line of dashes as combine.py, then
  python3 combine.py A.share B.share ... > identity.txt
  age -d -i identity.txt BUNDLE.age | tar x                          (BUNDLE: bundle.age, or bundle-pq.age; age 1.3 or newer)

SHA-256 of the line in each share, to find one that was changed, is in %s under "commitment", and in the ledger.
----------------------------------------------------------------------
%s`, x.threshold, strings.Join(names, ", "), x.ID, Item, bundle.IndexFile, share.Recipe)
}
