package ledger

import (
	"context"
	"time"
)

// Observe is what was seen of a medium now, with the time since when it is so.
func (c Catalog) Observe(ctx context.Context, target, state string, device Device, at time.Time) (Medium, error) {
	m := Medium{Target: target, State: state, Device: device, At: at, Since: at}
	var last Medium
	found, err := One(ctx, c.Store, Query{Kind: RowMedium, ID: target}, &last)
	if found && last.State == state && !last.At.After(at) {
		if m.Since = last.Since; m.Since.IsZero() {
			m.Since = last.At
		}
	}
	return m, err
}

// Custody returns what happened to media, oldest first; "" is all of them.
func (c Catalog) Custody(ctx context.Context, target string) ([]Custody, error) {
	return All[Custody](ctx, c.Store, Query{Kind: RowCustody, Target: target})
}
