package prune

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Archive is one of runner's own on a system's storage that is not a copy: its run
// died before it was counted, or it was refused, or a further attempt took its
// place. Nothing ever reads it again, and it takes the space that the next one needs.
type Archive struct {
	Name  string // volume
	Item  string
	Taken time.Time // of the ledger
	Dated time.Time // by its file: it can hold an archive, never let it go
}

// Orphans chooses archives that go, the oldest first, and how many of them one run
// may remove, of so many that there are of runner's own. They are not copies, so
// they do not count among those; the share is the same. One goes only when the
// item has a newer artifact of which every demanded copy is at least read.
func Orphans(in Input, archives []Archive, own, gone int) (out []Archive, limit int) {
	newest := map[string]ledger.Proven{}
	items := map[string][]ledger.Proven{}
	for _, c := range in.Copies {
		items[c.Item] = append(items[c.Item], c)
		if n, ok := newest[c.Item]; !ok || c.Taken.After(n.Taken) {
			newest[c.Item] = c
		}
	}
	for _, a := range archives {
		n, ok := newest[a.Item]
		if ok && a.Taken.Before(n.Taken) && a.Dated.Before(n.Taken) && everyDemanded(in, items[a.Item], n.Artifact) {
			out = append(out, a)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Taken.Before(out[j].Taken) })
	return out, max(0, max(1, (own+gone)*share/100)-gone)
}

// everyDemanded reports whether every demanded copy of an artifact is read; on an
// offline medium that is not due yet an older one does.
func everyDemanded(in Input, copies []ledger.Proven, artifact string) bool {
	return len(in.Demand.On) > 0 && !slices.ContainsFunc(in.Demand.Promises(), func(one []ledger.CopyDemand) bool {
		return !kept(in, copies, artifact, one)
	})
}

// Why words the reason that an orphan goes for.
func (a Archive) Why(run string) string {
	return fmt.Sprintf("an archive of run %s that is not a copy; every demanded copy of a newer one is read", run)
}
