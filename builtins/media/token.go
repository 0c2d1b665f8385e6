package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/neosofia/runner/builtins/internal/client/disk"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
)

// token lies in the header of a container, which everybody can read: its passphrase,
// sealed to the recovery key. So the medium and the sheet are enough where nothing else
// is left.
type token struct {
	Type     string   `json:"type"`
	Keyslots []string `json:"keyslots"`
	Age      string   `json:"age"` // armored
}

const tokenType = "runner-age"

// maxPassphrase bounds what a token may hold.
const maxPassphrase = 4096

// recipients are those that the site seals copies to. One file is never sealed to keys of
// both classes: the hybrid ones come first.
func recipients(s *site.Site) (out []age.Recipient, err error) {
	var names []string
	by := map[string][]age.Recipient{}
	for _, t := range s.Targets {
		for _, r := range t.SealedTo {
			if slices.Contains(names, r) {
				continue
			}
			one, class, err := bundle.ParseRecipient(r)
			if err != nil {
				return nil, err
			}
			names, by[class] = append(names, r), append(by[class], one)
		}
	}
	if len(by[bundle.Hybrid]) > 0 {
		return by[bundle.Hybrid], nil
	}
	return by[bundle.Classic], nil
}

// sealed is the token of a passphrase; nil where the site seals to nobody.
func sealed(s *site.Site, key []byte) ([]byte, error) {
	to, err := recipients(s)
	if err != nil || len(to) == 0 {
		return nil, err
	}
	var text bytes.Buffer
	a := armor.NewWriter(&text)
	w, err := age.Encrypt(a, to...)
	if err == nil {
		_, err = w.Write(key)
	}
	if err == nil {
		err = errors.Join(w.Close(), a.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("seal the passphrase: %w", err)
	}
	return json.Marshal(token{tokenType, []string{"0"}, text.String()})
}

// Unlock opens the container on a disk with the recovery key, and mounts what is in it
// at a folder, to read alone. No site and no keyring is needed.
func Unlock(ctx context.Context, w *systems.Systems, path, at string, ids []age.Identity) error {
	refuse := func(said, hint string) error {
		return &failure.Error{Code: disk.CodeLocked, Doing: "open the container on " + path, Said: said, Hint: hint}
	}
	list, err := disk.List(ctx, w.Machine())
	if err != nil {
		return err
	}
	d, err := disk.Fit(list, path)
	if err != nil {
		return err
	}
	raw, err := disk.ReadToken(ctx, w.Machine(), path)
	if err != nil {
		return err
	}
	var t token
	if json.Unmarshal(raw, &t) != nil || t.Type != tokenType {
		return refuse("its header holds no passphrase that is sealed to a recovery key", "the passphrase is in the sealed secrets of another "+
			"copy: runner recover --item keyring")
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(t.Age)), ids...)
	if err != nil {
		return refuse("the key does not open the passphrase in its header: "+err.Error(), "is it the key of this site, and of its time?")
	}
	key, err := io.ReadAll(io.LimitReader(r, maxPassphrase))
	if err != nil {
		return refuse(err.Error(), "")
	}
	defer clear(key)
	return disk.Unlock(ctx, w.Machine(), d, key, "runner-"+d.Name, at, true)
}
