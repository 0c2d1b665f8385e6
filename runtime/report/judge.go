package report

import (
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	// behind is how far a system's clock may be behind ours: an artifact is dated
	// by the system that made it.
	behind = time.Minute
	// ahead is how far one may be ahead before its dates are not believed.
	ahead = 5 * time.Minute
)

// judge holds what demands are judged by. Since is zero when the state as a whole
// is asked for, not one run.
type judge struct {
	d          ledger.Demands
	run        string
	since, now time.Time
	media      seenMedia
}

// attached reports whether a medium was there when it was looked at last, which for
// a run is when the run looked.
func (j judge) attached(target string) bool {
	m, ok := j.media.last[target]
	return ok && m.State == "attached" && !m.At.Before(j.since)
}

// item is what the ledger knows of one thing of an asset.
type item struct {
	name   string
	first  time.Time         // of its first artifact
	made   []time.Time       // of its latest artifacts, oldest first
	newest *ledger.Artifact  // nil: never backed up
	copies []ledger.Proven   // that exist, newest first
	sets   map[string]string // artifact -> who can open it, where it says so
}

func (it *item) on(target string) []ledger.Proven {
	var out []ledger.Proven
	for _, c := range it.copies {
		if c.Target == target {
			out = append(out, c)
		}
	}
	return out
}

// items loads what is known of an asset.
func items(ctx context.Context, c ledger.Catalog, asset string) (map[string]*item, error) {
	out := map[string]*item{}
	get := func(name string) *item {
		it := out[name]
		if it == nil {
			it = &item{name: name}
			out[name] = it
		}
		return it
	}
	bodies := map[string]ledger.Row{} // of old artifacts only the dates matter: they are many
	var chains ledger.Chains
	err := c.Rows(ctx, ledger.Query{Kind: ledger.RowArtifact, Asset: asset}, func(r ledger.Row) error {
		if err := chains.Add(r); err != nil {
			return err
		}
		if it := get(r.Item); it.first.IsZero() {
			it.first = r.Time
		}
		out[r.Item].noteSet(r)
		out[r.Item].noteTime(r.Time)
		bodies[r.Item] = r
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for name, r := range bodies {
		a, err := decode[ledger.Artifact](r)
		if err != nil {
			return nil, err
		}
		out[name].newest = a
	}
	copies, err := c.ProvenCopies(ctx, ledger.Query{Asset: asset})
	if err == nil {
		err = c.Hold(ctx, &chains, copies)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range copies {
		it := get(p.Item)
		it.copies = append(it.copies, p)
	}
	return out, nil
}

// demand judges one item on one target; nil means that the promise is kept.
func (j judge) demand(a ledger.AssetDemand, on ledger.CopyDemand, it *item) *ledger.Finding {
	f := &ledger.Finding{Severity: ledger.Failed, Asset: a.Name, Item: it.name, Target: on.Target}
	copies := it.on(on.Target)
	believed := copies[:0:0]
	for _, c := range copies {
		if !c.Taken.After(j.now.Add(ahead)) {
			believed = append(believed, c)
		}
	}
	if len(believed) == 0 && len(copies) > 0 {
		f.Text = fmt.Sprintf("%s on %s is dated %s, which is in the future", it.name, on.Target,
			copies[0].Taken.UTC().Format("2006-01-02 15:04 UTC"))
		f.Type = "check the clocks of this host and of the system that is backed up: timedatectl"
		return f
	}
	if t, ok := j.d.Target(on.Target); ok && t.Due > 0 {
		if u := j.fetched(f, travels{name: t.Name, targets: []string{t.Name}, due: t.Due, grace: t.Grace}, on, it, believed); u != nil {
			return &u.Finding
		}
		return nil
	}
	return j.nightly(f, j.d.MaxAge(a, on), on, it, believed)
}

// counts reports whether a copy is one at all: what lies on a device of its source is lost
// with it, unless the site accepts that.
func (j judge) counts(c ledger.Copy) bool {
	if !c.OnSource {
		return true
	}
	_, ok := j.d.Accepts(ledger.Gap{Item: c.Item, What: ledger.OwnDisk(c.Target)}, j.now)
	return ok
}

// onSource says of targets whose newest good copy lies on a device of its source. It is
// the worse where there is no good copy elsewhere.
func (j judge) onSource(a ledger.AssetDemand, it *item) (out []ledger.Finding) {
	severity := ledger.Failed
	var on []ledger.Copy
	seen := map[string]bool{}
	for _, c := range it.copies {
		if seen[c.Target] || c.Level < demanded(a, c.Target) {
			continue
		}
		seen[c.Target] = true
		if j.counts(c.Copy) {
			severity = ledger.DegradedRun
		} else {
			on = append(on, c.Copy)
		}
	}
	for _, c := range on {
		out = append(out, ledger.Finding{Severity: severity, Asset: a.Name, Item: it.name, Target: c.Target,
			Text: fmt.Sprintf("%s on %s lies on the disk that it was saved from (%s): when that disk dies, so do both, and it is not counted",
				it.name, c.Target, deviceOf(c)),
			Type: fmt.Sprintf("in site.star: a target(...) on another disk, named in on of asset(name = %q); or accept_gap(item = %q, gap = %q, "+
				"reason = \"…\", until = %q)",
				a.Name, it.name, ledger.OwnDisk(c.Target), date(j.now.AddDate(0, 6, 0)))})
	}
	return out
}

// demanded is the level that makes a copy on a target good.
func demanded(a ledger.AssetDemand, target string) int {
	for _, on := range a.On {
		if on.Target == target {
			return on.Level
		}
	}
	return ledger.Read
}

// nightly judges a target that every run writes.
func (j judge) nightly(f *ledger.Finding, maxAge time.Duration, on ledger.CopyDemand, it *item, copies []ledger.Proven) *ledger.Finding {
	var fresh []ledger.Proven
	for _, c := range copies {
		if j.since.IsZero() || !c.Taken.Before(j.since.Add(-behind)) {
			fresh = append(fresh, c)
		}
	}
	if len(fresh) == 0 {
		f.Text = fmt.Sprintf("%s has no copy on %s", it.name, on.Target)
		if !j.since.IsZero() {
			f.Text += " from this run" + j.best(copies)
		}
		return f
	}
	old := -1
	for i, c := range fresh {
		if c.Level < on.Level {
			continue
		}
		if maxAge == 0 || j.now.Sub(c.Taken) <= maxAge {
			return nil
		}
		if old < 0 {
			old = i
		}
	}
	if old >= 0 {
		f.Text = fmt.Sprintf("%s on %s is %s old, demanded: at most %s", it.name, on.Target, age(j.now.Sub(fresh[old].Taken)), span(maxAge))
		return f
	}
	f.Text = lowText(it, on, fresh[0])
	return f
}

func lowText(it *item, on ledger.CopyDemand, c ledger.Proven) string {
	if c.Lacks != nil && c.Own >= on.Level {
		return fmt.Sprintf("%s on %s needs %s", it.name, on.Target, lackWords(c.Lacks, on.Level))
	}
	return fmt.Sprintf("%s on %s is %s, demanded: %s", it.name, on.Target, proofWords(c), ledger.LevelName(on.Level))
}

// best says what there is instead of a copy from this run.
func (j judge) best(copies []ledger.Proven) string {
	if len(copies) == 0 {
		return "; no copy exists at all"
	}
	c := copies[0]
	for _, o := range copies {
		if o.Level >= ledger.Read {
			c = o
			break
		}
	}
	return fmt.Sprintf("; newest: %s old, %s", age(j.now.Sub(c.Taken)), proofWords(c))
}

func spanOrNone(d time.Duration) string {
	if d == 0 {
		return "0 d"
	}
	return span(d)
}
