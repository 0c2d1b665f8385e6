package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/runtime/ledger"
)

// machine is a host as the client of ReaR wants it.
type machine struct{ host.Host }

func (m machine) Run(ctx context.Context, args []string, stdin io.Reader) (exit int, signal string, stdout, stderr []byte, err error) {
	r, err := m.Host.Run(ctx, host.Command{Args: args, Stdin: stdin})
	var killed *host.KilledError
	switch {
	case errors.Is(err, host.ErrNoProgram):
		return 127, "", r.Stdout, r.Stderr, nil
	case errors.As(err, &killed):
		return r.Exit, killed.Signal, r.Stdout, r.Stderr, nil
	}
	return r.Exit, "", r.Stdout, r.Stderr, err
}

func (m machine) Read(ctx context.Context, file string, limit int64) ([]byte, error) {
	return host.ReadFile(ctx, m.Host, file, limit)
}

// elsewhere demands a proven copy off the host's own disks of every guest that a
// recovery erases, and one that is not too old to live with.
func (j *job) elsewhere(ctx context.Context) error {
	if len(j.plan.Shared) == 0 {
		return nil
	}
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return err
	}
	own := j.ownSerials()
	for i, id := range j.plan.SharedIDs {
		name := id
		for _, g := range j.facts.Guests {
			if g.ID == id && g.Name != "" {
				name = g.Name
			}
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
				proven = proven || j.s.Now().Sub(c.Taken) <= limit
			}
		}
		if !proven {
			return &rear.HoldsError{What: fmt.Sprintf("a recovery would erase guest %s (in %s, on the disk of the system), and no copy of it on another disk is proven that is at most %s old", j.plan.Shared[i], strings.Join(j.plan.Erases, ", "), hours(limit)),
				Hint: fmt.Sprintf("first: verify(copies = copy(artifact = snapshot_vm(guest = %q)), level = \"read\"), to a target that is not on this host's disk", name)}
		}
	}
	return nil
}

// noRPO is how old a guest's copy may be whose asset has no recovery point.
const noRPO = 8 * 24 * time.Hour

// tooOld is twice the recovery point of an asset: one run may have failed.
func (j *job) tooOld(asset string) time.Duration {
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
func (j *job) erased(c ledger.Copy, own map[string]bool) bool {
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
func (j *job) ownSerials() map[string]bool {
	out := map[string]bool{}
	for _, d := range j.facts.Devices {
		if d.Serial != "" && slices.Contains(j.plan.Disks, d.Path) {
			out[d.Serial] = true
		}
	}
	return out
}
