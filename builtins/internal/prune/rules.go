// Package prune is the body of prune: it chooses what may be removed, and removes it. It
// is the guard, not the rule: a rule in a policy says what to keep, and whatever it
// forgets is kept here when losing it would break a promise of the site.
//
// Times are those of the ledger, never those of files: a forged file date
// removes nothing.
//
// A clock that jumped removes nothing at all. A jump shows in the order in which
// the ledger was written, by runs of every policy: an entry that is much later
// than the one before it (Leap), or a day earlier. A machine that was switched off
// looks the same, and cannot be told apart. So the new time is believed once it
// has held for a while: three days after it was first seen, and after three runs
// that began by it (Believed). How many ran in between does not shorten that;
// nights are what somebody notices a wrong clock in. A weekend or a holiday
// without runs costs three days without pruning, and nothing else. A jump of two
// days or less is not seen: it can be no longer than what a single night's delay
// makes, and shortens a retention by no more than that.
package prune

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Input is what is known.
type Input struct {
	Demand        ledger.AssetDemand
	Copies        []ledger.Proven
	Artifacts     []ledger.Artifact
	Keep          []string // artifacts
	KeepOnStorage int      // archives in place that stay of each item; 0: no rule of their own
	Now           time.Time
	Total         int                        // copies of the whole asset, when Copies are those of one item; 0: Copies are all
	Seen          []Seen                     // times that the ledger shows, in its order; as many as Enough asks for
	Leap          time.Duration              // what Leap says of the site; 0: two days
	Gone          int                        // copies that this run has removed already
	Due           func(string) time.Duration // of an offline target, with its grace; 0 else
	// Batch tells kinds whose artifacts are parts of one stream. A part goes only
	// when every later one is proven on the same target: a chain is never left with a
	// doubtful end alone.
	Batch func(kind string) bool
}

// Removal is a copy that goes.
type Removal struct {
	Copy ledger.Copy
	Why  string
	// After are copies on the same target that need this one, and go before it: as
	// long as one of them is there, this one stays.
	After []string
}

// Choice is what Choose decided.
type Choice struct {
	Removals []Removal // oldest first; of a chain, what needs another one before it
	Limit    int       // so many of them at most: what cannot be removed now does not count
	Refused  string    // why nothing may be removed at all
	Notes    []string
}

// share of an asset's copies that one run may remove, in percent.
const share = 30

// Choose applies the guards.
func Choose(in Input) Choice {
	if why := clock(in); why != "" {
		return Choice{Refused: why}
	}
	var out Choice
	items := map[string][]ledger.Proven{}
	for _, c := range in.Copies {
		items[c.Item] = append(items[c.Item], c)
	}
	names := make([]string, 0, len(items))
	for n := range items {
		names = append(names, n)
	}
	sort.Strings(names)
	held := closure(in)
	for _, n := range names {
		removals, note := item(in, items[n], held)
		out.Removals = append(out.Removals, chains(in, items[n], removals)...)
		if note != "" {
			out.Notes = append(out.Notes, n+": "+note)
		}
	}
	inOrder(in, out.Removals)
	total := max(in.Total, len(in.Copies)) + in.Gone
	out.Limit = max(0, max(1, total*share/100)-in.Gone)
	if n := len(out.Removals); n > out.Limit {
		out.Notes = append(out.Notes, fmt.Sprintf("%d of %d copies could go; one run removes at most %d %%, the rest goes next time", n, total,
			share))
	}
	return out
}

// closure is what is kept by name, with all that it needs.
func closure(in Input) map[string]bool {
	return needed(in, in.Keep)
}

// needed is a list of artifacts with all that they need, and so on.
func needed(in Input, list []string) map[string]bool {
	needs := map[string][]string{}
	for _, a := range in.Artifacts {
		needs[a.ID] = a.Needs
	}
	out := map[string]bool{}
	for len(list) > 0 {
		id := list[len(list)-1]
		list = list[:len(list)-1]
		if !out[id] {
			out[id] = true
			list = append(list, needs[id]...)
		}
	}
	return out
}

// inOrder sorts removals: the chain that began first, and of it what needs another
// one before that. One run may not get to the end of the list: what it leaves can
// then still be restored.
func inOrder(in Input, removals []Removal) {
	taken := map[string]time.Time{}
	for _, a := range in.Artifacts {
		taken[a.ID] = a.Created
	}
	began, depth := map[string]time.Time{}, map[string]int{}
	for i := range removals {
		r := &removals[i]
		id := r.Copy.Artifact
		chain := needed(in, []string{id})
		began[id], depth[id] = r.Copy.Taken, len(chain)
		for other := range chain {
			if t, known := taken[other]; known && t.Before(began[id]) {
				began[id] = t
			}
		}
		if delete(chain, id); len(chain) == 0 {
			continue // most have none
		}
		for j := range removals {
			if o := &removals[j]; o.Copy.Target == r.Copy.Target && chain[o.Copy.Artifact] {
				o.After = append(o.After, r.Copy.ID)
			}
		}
	}
	sort.SliceStable(removals, func(i, j int) bool {
		a, b := removals[i].Copy, removals[j].Copy
		switch {
		case !began[a.Artifact].Equal(began[b.Artifact]):
			return began[a.Artifact].Before(began[b.Artifact])
		case depth[a.Artifact] != depth[b.Artifact]:
			return depth[a.Artifact] > depth[b.Artifact]
		}
		return a.Taken.Before(b.Taken)
	})
}

// chains takes back removals of what a copy that stays on the same target needs.
func chains(in Input, copies []ledger.Proven, removals []Removal) []Removal {
	going := map[string]bool{}
	for _, r := range removals {
		going[r.Copy.ID] = true
	}
	stays := map[string][]string{} // target -> artifacts
	for _, c := range copies {
		if !going[c.ID] {
			stays[c.Target] = append(stays[c.Target], c.Artifact)
		}
	}
	held := map[string]map[string]bool{}
	for target, list := range stays {
		held[target] = needed(in, list)
	}
	return slices.DeleteFunc(removals, func(r Removal) bool { return held[r.Copy.Target][r.Copy.Artifact] })
}

// item chooses among the copies of one item, newest first.
func item(in Input, copies []ledger.Proven, held map[string]bool) ([]Removal, string) {
	sort.SliceStable(copies, func(i, j int) bool { return copies[i].Taken.After(copies[j].Taken) })
	if !provenSomewhere(copies, copies[0].Artifact) {
		return nil, "its newest artifact is not proven: nothing of it is removed"
	}
	level := map[string]int{}
	for _, d := range in.Demand.On {
		level[d.Target] = d.Level
	}
	doubt := successors(in, copies, level)
	full := map[string]int{}     // proven copies met so far, per target
	inPlace := map[string]bool{} // artifacts in place, newest first
	var out []Removal
	for _, c := range copies {
		proven := c.Level >= max(level[c.Target], ledger.Read)
		first := proven && full[c.Target] == 0
		if proven {
			full[c.Target]++
		}
		age := in.Now.Sub(c.Taken)
		if c.InPlace {
			inPlace[c.Artifact] = true
			if in.KeepOnStorage > 0 && !first && len(inPlace) > in.KeepOnStorage && elsewhere(in, copies, c.Artifact) {
				out = append(out, Removal{Copy: c.Copy, Why: fmt.Sprintf("every other demanded copy of it is read; the storage keeps %d",
					in.KeepOnStorage)})
				continue
			}
		}
		switch {
		case held[c.Artifact], first, c.Artifact == copies[0].Artifact:
		case in.Demand.Retention > 0 && age < in.Demand.Retention:
		case doubt[c.ID]:
		case in.Demand.Keep > 0 && full[c.Target] <= in.Demand.Keep:
		default:
			out = append(out, Removal{Copy: c.Copy, Why: fmt.Sprintf("%d days old, no rule keeps it", int(age.Hours()/24))})
		}
	}
	return out, ""
}

// successors finds the batches behind which, on their target, a later one is not
// proven or not there at all. Artifacts that exist nowhere do not count: what they
// held was collected again.
func successors(in Input, copies []ledger.Proven, level map[string]int) map[string]bool {
	out := map[string]bool{}
	if in.Batch == nil || !in.Batch(copies[0].Kind) {
		return out
	}
	proven := map[string]bool{} // artifact and target
	exists, targets := map[string]bool{}, map[string]bool{}
	for _, c := range copies {
		exists[c.Artifact], targets[c.Target] = true, true
		if c.Level >= max(level[c.Target], ledger.Read) {
			proven[c.Artifact+"/"+c.Target] = true
		}
	}
	newest := map[[3]string]time.Time{} // of item, kind and target: what is not proven there
	for _, a := range in.Artifacts {
		for target := range targets {
			if key := [3]string{a.Item, a.Kind, target}; exists[a.ID] && !proven[a.ID+"/"+target] && a.Created.After(newest[key]) {
				newest[key] = a.Created
			}
		}
	}
	for _, c := range copies {
		if newest[[3]string{c.Item, c.Kind, c.Target}].After(c.Taken) {
			out[c.ID] = true
		}
	}
	return out
}

func provenSomewhere(copies []ledger.Proven, artifact string) bool {
	for _, c := range copies {
		if c.Artifact == artifact && c.Level >= ledger.Read {
			return true
		}
	}
	return false
}

// elsewhere reports whether every demanded copy but the one in place is at least
// read. An offline medium that is away until it is due does not hold it up: a
// newer artifact on it does as well.
func elsewhere(in Input, copies []ledger.Proven, artifact string) bool {
	others := 0
	for _, one := range in.Demand.Promises() {
		if slices.ContainsFunc(copies, func(c ledger.Proven) bool { return c.InPlace && named(one, c.Target) }) {
			continue
		}
		if !kept(in, copies, artifact, one) {
			return false
		}
		others++
	}
	return others > 0
}

// kept reports whether a copy of an artifact is read where one promise wants it; on an
// offline medium that is not due yet an older one does, and of a set any medium.
func kept(in Input, copies []ledger.Proven, artifact string, one []ledger.CopyDemand) bool {
	return slices.ContainsFunc(copies, func(c ledger.Proven) bool {
		young := in.Due(c.Target) > 0 && in.Now.Sub(c.Taken) <= in.Due(c.Target)
		return named(one, c.Target) && c.Level >= ledger.Read && (c.Artifact == artifact || young)
	})
}

func named(one []ledger.CopyDemand, target string) bool {
	return slices.ContainsFunc(one, func(d ledger.CopyDemand) bool { return d.Target == target })
}
