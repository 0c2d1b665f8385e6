package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/disk"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Candidate is a disk that can be made a medium, with what an operator compares.
type Candidate struct {
	Path, Model, Serial string
	Size                int64
	Holds               string   // what is on it; "" is nothing
	Notes               []string // what could not be found out
	disk                disk.Disk
}

// Look finds the disk and refuses one that is in use, fails, or is another medium or the
// disk of another target of the site.
func Look(ctx context.Context, w *systems.Systems, path, name string) (Candidate, error) {
	list, err := disk.List(ctx, w.Machine())
	if err != nil {
		return Candidate{}, err
	}
	d, err := disk.Fit(list, path)
	if err != nil {
		return Candidate{}, err
	}
	for _, t := range w.Site.Targets {
		if t.Serial == d.Serial && t.Name != name {
			return Candidate{}, &failure.Error{Code: disk.CodeUnfit, Doing: "look at " + path,
				Said: fmt.Sprintf("its serial %s is that of the target %s", d.Serial, t.Name),
				Hint: fmt.Sprintf("to make that one anew: runner media prepare %s --name %s", path, t.Name)}
		}
		if t.Name == name && t.Serial != "" && t.Serial != d.Serial {
			return Candidate{}, &failure.Error{Code: disk.CodeUnfit, Doing: "look at " + path,
				Said: fmt.Sprintf("%s has the serial %s in site.star, and this disk %s", name, t.Serial, d.Serial),
				Hint: "another name with --name, or remove the old one from site.star"}
		}
	}
	note, err := disk.Healthy(ctx, w.Machine(), d.Path)
	if err != nil {
		return Candidate{}, err
	}
	c := Candidate{d.Path, d.Model, d.Serial, d.Size, d.Holds(), nil, d}
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c, nil
}

// FreeName is the next name of a medium that the site does not have: offline-c.
func FreeName(s *site.Site) string {
	for c := 'a'; c <= 'z'; c++ {
		name := "offline-" + string(c)
		if !slices.ContainsFunc(s.Targets, func(t *site.Target) bool { return t.Name == name }) {
			return name
		}
	}
	return "offline"
}

// Prepare erases the disk and makes it the medium of that name. Its passphrase is in the
// keyring before anything is written; one that is there already stays: what was sealed
// with it opens the new container, too.
func Prepare(ctx context.Context, w *systems.Systems, c Candidate, name string) (ledger.Device, error) {
	key, err := passphrase(ctx, w.Env.Keyring, SecretOf(name))
	if err != nil {
		return ledger.Device{}, err
	}
	defer clear(key)
	uuid, err := disk.Prepare(ctx, w.Machine(), c.disk, key, name)
	if err != nil {
		return ledger.Device{}, err
	}
	return ledger.Device{ID: "serial:" + c.Serial, Serial: c.Serial, UUID: uuid, Label: name, FS: "ext4"}, nil
}

// passphrase is that of the keyring, or a new one of 160 bits that is stored there.
func passphrase(ctx context.Context, k *keyring.Keyring, name string) ([]byte, error) {
	doing := "store the passphrase " + name
	if k == nil {
		return nil, &failure.Error{Code: keyring.CodeSecret, Doing: doing, Said: "there is no keyring"}
	}
	if err := site.CheckSecretName(name); err != nil {
		return nil, err
	}
	names, err := k.List()
	if err != nil {
		return nil, err
	}
	if slices.Contains(names, name) {
		return k.Get(ctx, name)
	}
	key := []byte(strings.ToLower(rand.Text() + rand.Text()[:6]))
	if err := k.Set(name, key); err != nil {
		return nil, &failure.Error{Code: keyring.CodeSecret, Doing: doing, Said: err.Error(), Cause: err}
	}
	back, err := k.Get(ctx, name)
	defer clear(back)
	if err == nil && string(back) != string(key) {
		err = errors.New("the keyring gives back another one")
	}
	return key, err
}

// Lines are what site.star needs for a medium.
func Lines(name string, d ledger.Device) string {
	return fmt.Sprintf(`target(
    name = %q,
    url = "file:///media/%s",
    medium = "usb",
    location = "safe",
    offline = True,
    uuid = %q,
    serial = %q,
    passphrase = secret(%q),
    # sealed_to = [RECOVERY],
)
media(set = "offline", names = [%q], every = "7d", grace = "2d", keeper = "NAME")
`, name, name, d.UUID, d.Serial, SecretOf(name), name)
}
