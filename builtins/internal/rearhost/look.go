package rearhost

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// look is what is seen of a host before an image of it is made. It changes nothing.
type look struct {
	w     *systems.Systems
	clock runtime.Clock
	name  string // of the host
	m     machine
	facts *rear.Facts
	plan  *rear.Plan
	o     rear.Options
}

// Foreseen is what would become of an image of a host, were it made now.
type Foreseen struct {
	Host    string `json:"host"`
	Error   string `json:"error,omitempty"`   // why it would fail, or could not be weighed
	Hint    string `json:"hint,omitempty"`    // what to type
	Refused bool   `json:"refused,omitempty"` // its recovery would erase what is nowhere else
}

// Foresee looks at every host of the site that images are made of, and changes
// nothing there. Default images are weighed.
func Foresee(ctx context.Context, w *systems.Systems, catalog ledger.Catalog) []Foreseen {
	var out []Foreseen
	for _, h := range w.Site.Hosts {
		if h.Rear {
			out = append(out, Foreseen{Host: h.Name})
		}
	}
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			f := &out[i]
			within, cancel := runtime.RealClock{}.Within(ctx, time.Minute, errors.New("it did not answer within a minute"))
			defer cancel()
			if err := refuse(within, w, catalog, f.Host); err != nil {
				f.Error, f.Hint, _ = strings.Cut(err.Error(), "\nhint: ")
				code := failure.CodeOf(err)
				f.Refused = code == rear.CodeHoldsGuests || code == rear.CodeHoldsCopies
			}
		})
	}
	wg.Wait()
	return out
}

func refuse(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, name string) error {
	h, sh, err := w.Host(ctx, name)
	if err != nil {
		return err
	}
	defer h.Close()
	l := &look{w: w, clock: runtime.RealClock{}, name: sh.Name, m: machine{h}, o: rear.Options{Dir: defaultDir, Output: "iso", Backup: "iso"}}
	if err = l.see(ctx, sh); err == nil {
		err = l.elsewhere(ctx, catalog)
	}
	if err != nil {
		return l.word(err)
	}
	return nil
}

// see asks the host what it is made of, and decides what an image leaves out.
func (j *look) see(ctx context.Context, sh *site.Host) (err error) {
	if j.facts, err = rear.Gather(ctx, j.m); err != nil {
		return err
	}
	if j.facts.Targets, err = j.held(ctx, sh); err != nil {
		return err
	}
	j.facts.Secrets = secrets(j.w, sh)
	if j.o.Output == "usb" {
		if err := j.o.Stick.Find(j.facts); err != nil {
			return err
		}
		if !j.o.Encrypted && !strings.HasPrefix(j.o.Stick.Device, "/dev/mapper/") {
			return &failure.Error{Code: rear.CodeClear, Doing: "write the archive to the stick " + j.o.Stick.Serial,
				Said: "its file system is not encrypted, and no key is given for the archive",
				Hint: "runner secret set rear-key, and key = \"rear-key\"; keep the passphrase where the recovery kit is"}
		}
	}
	j.plan, err = rear.Prepare(j.facts, j.o)
	return err
}

// secrets are the places that no image may hold: what runner keeps, and what
// systemd hands out as credentials.
func secrets(w *systems.Systems, sh *site.Host) []string {
	list := []string{"/var/lib/runner", "/etc/runner/credentials", "/etc/runner/identities", "/etc/credstore", "/etc/credstore.encrypted",
		"/run/credentials", "/var/lib/systemd/credential.secret",
		"/root/.local/share/keyrings", "/root/.password-store", "/root/.config/age", "/root/.local/state/runner"}
	own := []string{w.Site.Keyring.Dir, w.Site.Keyring.PassFile}
	if sh.Local {
		own = append(own, path.Dir(w.Env.Spool)) // the state folder: ledger, spool, keyring
	}
	for _, file := range own {
		if path.Clean("/"+file) != "/" && strings.HasPrefix(file, "/") {
			list = append(list, path.Clean(file))
		}
	}
	return list
}

// elsewhere demands a proven copy off the host's own disks of every guest that a
// recovery erases, and one that is not too old to live with.
func (j *look) elsewhere(ctx context.Context, catalog ledger.Catalog) error {
	own := j.ownSerials()
	for i, id := range j.plan.SharedIDs {
		name := id
		for _, g := range j.facts.Guests {
			if g.ID == id && g.Name != "" {
				name = g.Name
			}
		}
		if _, given := j.w.Site.Demands.Excused(name, j.clock.Now()); given {
			continue // the site says that nobody needs it back
		}
		proven, limit := false, noRPO
		for _, item := range []string{name, id} {
			copies, err := catalog.ProvenCopies(ctx, ledger.Query{Item: item})
			if err != nil {
				return err
			}
			for _, c := range copies {
				if c.Kind != "vm" && c.Kind != "ct" || c.Level < ledger.Read || c.InPlace || j.erased(c.Copy, own) {
					continue
				}
				limit = j.tooOld(c.Asset)
				proven = proven || j.clock.Now().Sub(c.Taken) <= limit
			}
		}
		if !proven {
			return &rear.HoldsError{What: fmt.Sprintf("a recovery would erase guest %s (in %s, on the disk of the system), and no copy of it on "+
				"another disk is proven that is at most %s old", j.plan.Shared[i], strings.Join(j.plan.Erases, ", "), hours(limit)),
				Hint: fmt.Sprintf("first: verify(copies = copy(artifact = snapshot_vm(guest = %q)), level = \"read\"), to a target that is not on "+
					"this host's disk", name)}
		}
	}
	return nil
}

// noRPO is how old a guest's copy may be whose asset has no recovery point.
const noRPO = 8 * 24 * time.Hour

// tooOld is twice the recovery point of an asset: one run may have failed.
func (j *look) tooOld(asset string) time.Duration {
	if row, ok := j.w.Site.Demands.Asset(asset); ok && row.RPO > 0 {
		return 2 * row.RPO
	}
	return noRPO
}

func hours(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// erased reports whether a copy lies where a recovery erases it, as far as can be
// told: of a disk without a serial, only that the image keeps its target.
func (j *look) erased(c ledger.Copy, own map[string]bool) bool {
	if c.Device.Serial != "" {
		return own[c.Device.Serial]
	}
	for _, h := range j.facts.Targets {
		if h.Target == c.Target {
			return h.Path != "" && !j.plan.Keeps(h.Target)
		}
	}
	return c.Account == "" // a local target that the site does not know any more
}

// ownSerials are the disks that a recovery of the host makes anew.
func (j *look) ownSerials() map[string]bool {
	out := map[string]bool{}
	for _, d := range j.facts.Devices {
		if d.Serial != "" && slices.Contains(j.plan.Disks, d.Path) {
			out[d.Serial] = true
		}
	}
	return out
}
