package systems

import (
	"fmt"

	"github.com/neosofia/runner/runtime/ledger"
)

// Vanished says that a copy in place is not there any more: somebody else removed it.
func Vanished(c ledger.Copy) ledger.Finding {
	return ledger.Finding{Severity: ledger.DegradedRun, Asset: c.Asset, Item: c.Item, Target: c.Target,
		Text: fmt.Sprintf("the archive of %s of %s is not on %s any more: runner did not remove it, and it counts no longer", c.Item,
			c.Taken.UTC().Format("2006-01-02 15:04 UTC"), c.Target),
		Type: "runner check names Proxmox's own jobs that prune there: give them a storage of their own"}
}
