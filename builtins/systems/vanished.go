package systems

import (
	"context"
	"fmt"
	"slices"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Vanish notes that a copy in place is not there any more: somebody else removed it. Of a
// foreign one that was the right of who made it; status says where a demand is not met
// without it.
func Vanish(s *runtime.Step, c ledger.Copy, to *ledger.Facts) {
	taken := c.Taken.UTC().Format("2006-01-02 15:04 UTC")
	if c.Foreign {
		s.Log("the foreign archive of %s of %s is not on %s any more: its own retention removed it, and it counts no longer", c.Item, taken,
			c.Target)
		to.Removed = append(to.Removed, c.ID)
		return
	}
	to.Damaged = append(to.Damaged, c.ID)
	to.Findings = append(to.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: c.Asset, Item: c.Item, Target: c.Target,
		Text: fmt.Sprintf("the archive of %s of %s is not on %s any more: runner did not remove it, and it counts no longer", c.Item, taken,
			c.Target),
		Type: "runner check names Proxmox's own jobs that prune there: give them a storage of their own"})
}

// Gone reports that the archive of a copy in place was removed, by what Proxmox says. A
// storage that lists no archive at all is not believed as long as others should lie there:
// one whose disk is not mounted looks so.
func (w *Systems) Gone(ctx context.Context, s *runtime.Step, c ledger.Copy) (bool, error) {
	placed, err := Placed(ctx, s, c)
	if err != nil || len(placed) == 0 {
		return false, err
	}
	o := placed[0].Origin
	client, _, err := w.Proxmox(ctx, o.System)
	if err != nil {
		return false, proxmox.Explain(o.System, "connect", err)
	}
	if _, err := client.Archive(ctx, o.Node, o.Volume); !proxmox.Gone(err) {
		return false, proxmox.Explain(o.System, "look at "+o.Volume, err)
	}
	left, err := client.Archives(ctx, o.Node, o.Storage, 0)
	if err != nil || len(left) > 0 {
		return err == nil, proxmox.Explain(o.System, "list archives on "+o.Storage+" of "+o.Node, err)
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	copies, err := catalog.Copies(ctx, ledger.Query{Target: c.Target})
	return err == nil && !slices.ContainsFunc(copies, func(other ledger.Copy) bool { return other.InPlace && other.ID != c.ID }), err
}
