package recoverykey

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// Bound is a copy that only a key which is no longer in use opens.
type Bound struct {
	Copy    ledger.Copy
	Secrets bool // it is the secrets in it that are sealed to that key, not the copy
	Share   bool // it is a custodian's: without it, too few are left
}

// Loss is a set of shares that loses one with a custodian's key.
type Loss struct {
	Set       string `json:"set"`
	Custodian string `json:"custodian"`
	Copies    int    `json:"copies"`    // of secrets that were sealed to the set
	Left      int    `json:"left"`      // custodians whose keys are in use
	Threshold int    `json:"threshold"` // how many are needed
}

// BoundTo lists the copies that need the key with that fingerprint: none of the
// fingerprints in use opens them, nor do the shares of custodians that are in use.
// The newest come last. Sets of shares that lose one are listed, too, whether their
// copies need it or not. A custodian whom nobody names any more counts as gone.
func BoundTo(ctx context.Context, c ledger.Catalog, old string, inUse []string) ([]Bound, []Loss, error) {
	copies, err := c.Copies(ctx, ledger.Query{})
	if err != nil {
		return nil, nil, err
	}
	needs := func(to []string) bool { return slices.Contains(to, old) && !opens(to, old, inUse) }
	var out []Bound
	var sets []Loss
	for _, cp := range copies {
		sealed := needs(cp.SealedTo)
		if sealed {
			out = append(out, Bound{Copy: cp})
		}
		if cp.Kind != "secrets" {
			continue
		}
		a, found, err := c.Artifact(ctx, cp.Artifact)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			continue
		}
		recipients := strings.Split(a.Declared["recipients"], ",")
		loss, err := lost(a.Declared, old, inUse)
		if err != nil {
			return nil, nil, fmt.Errorf("read who can open copy %s of %s: %w", cp.ID, cp.Item, err)
		}
		if loss != nil && loss.Custodian != "" {
			at := slices.IndexFunc(sets, func(l Loss) bool { return l.Set == loss.Set })
			if at < 0 {
				at, sets = len(sets), append(sets, *loss)
			}
			sets[at].Copies++
		}
		share := loss != nil && loss.Custodian != ""
		switch {
		case sealed || opens(recipients, old, inUse) || loss != nil && loss.Left >= loss.Threshold:
		case share || slices.Contains(recipients, old):
			out = append(out, Bound{Copy: cp, Secrets: true, Share: share && !slices.Contains(recipients, old)})
		}
	}
	return out, sets, nil
}

// opens reports that one of the recipients is in use, and not the old one.
func opens(to []string, old string, inUse []string) bool {
	return slices.ContainsFunc(to, func(r string) bool { return r != old && slices.Contains(inUse, r) })
}

// lost counts the custodians of an artifact; nil: it has none.
func lost(d map[string]string, old string, inUse []string) (*Loss, error) {
	if d["threshold"] == "" {
		return nil, nil
	}
	l := &Loss{Set: d["set"]}
	var err error
	if l.Threshold, err = strconv.Atoi(d["threshold"]); err != nil || l.Threshold < 1 {
		return nil, fmt.Errorf("its threshold is %q", d["threshold"])
	}
	for _, c := range strings.Split(d["custodians"], ",") {
		name, print, _ := strings.Cut(c, "=")
		switch {
		case print == old:
			l.Custodian = name
		case slices.Contains(inUse, print):
			l.Left++
		}
	}
	return l, nil
}
