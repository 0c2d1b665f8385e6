package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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
// recovery erases.
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
		proven := false
		for _, item := range []string{name, id} {
			copies, err := catalog.ProvenCopies(ctx, ledger.Query{Item: item})
			if err != nil {
				return err
			}
			proven = proven || slices.ContainsFunc(copies, func(c ledger.Proven) bool {
				return (c.Kind == "vm" || c.Kind == "ct") && c.Level >= ledger.Read && !c.InPlace && !own[c.Device.Serial]
			})
		}
		if !proven {
			return &rear.HoldsError{What: fmt.Sprintf("a recovery would erase guest %s (in %s, on the disk of the system), and no copy of it on another disk is proven", j.plan.Shared[i], strings.Join(j.plan.Erases, ", ")),
				Hint: fmt.Sprintf("first: verify(copies = copy(artifact = snapshot_vm(guest = %q)), level = \"read\"), to a target that is not on this host's disk", name)}
		}
	}
	return nil
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
