package preflight

import (
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

// budgets refuses demands that what may be read of a target in a night cannot meet, by
// what was written there and lies there.
func budgets(ctx context.Context, catalog ledger.Catalog, d ledger.Demands, now time.Time) (out []Fault) {
	rounds, err := catalog.Rounds(ctx, d, now)
	if err != nil {
		return []Fault{FaultOf("the ledger", err)}
	}
	for _, r := range rounds {
		if r.Met() {
			continue
		}
		text := fmt.Sprintf("read_budget of %s a night is less than what has to be read: ", words.Size(r.Budget))
		switch again := r.Needs - r.Written; {
		case again == 0:
			text += fmt.Sprintf("%s are written in a night, and read back", words.Size(r.Written))
		case r.Written == 0:
			text += fmt.Sprintf("%s a night, so that all %s are read again as often as reread demands", words.Size(again), words.Size(r.Bytes))
		default:
			text += fmt.Sprintf("%s are written in a night, and %s more have to be read so that all %s are read again as often as reread demands",
				words.Size(r.Written), words.Size(again), words.Size(r.Bytes))
		}
		out = append(out, Fault{System: "target " + r.Target, Text: text,
			Hint: fmt.Sprintf("in site.star: read_budget = \"%dMiB/night\" or more, or a longer reread in the assets that have copies there",
				r.Needs>>20+1)})
	}
	return out
}
