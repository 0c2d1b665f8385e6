package site

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

type mediaArgs struct {
	Set    string        `star:"set" doc:"how assets name it: on = {\"offline\": \"read\"}"`
	Names  []string      `star:"names" doc:"targets with offline = True that travel in turn"`
	Every  time.Duration `star:"every" doc:"one of them is fetched and written at least so often"`
	Grace  time.Duration `star:"grace?" doc:"after that: degraded so long, then failed"`
	Keeper string        `star:"keeper?" doc:"who takes them away: what checkout says without --to"`
}

func (b *builder) media(a *mediaArgs) (starlark.Value, error) {
	var wrong []error
	if a.Set == "" {
		wrong = append(wrong, bad("set", "the set has no name"))
	}
	if len(a.Names) == 0 {
		wrong = append(wrong, bad("names", "names is empty: want the targets that travel in turn"))
	}
	if a.Every <= 0 {
		wrong = append(wrong, bad("every", "every: want how often one of them is fetched and written, such as \"7d\""))
	}
	for i, name := range a.Names {
		if other, taken := b.site.Demands.Set(name); taken || slices.Contains(a.Names[:i], name) {
			wrong = append(wrong, bad("names", "%s belongs to the set %s already", name, cmp.Or(other.Name, a.Set)))
		}
	}
	if slices.ContainsFunc(b.site.Demands.Sets, func(s ledger.MediaSet) bool { return s.Name == a.Set }) {
		wrong = append(wrong, bad("set", "%q is declared twice", a.Set))
	}
	b.site.Demands.Sets = append(b.site.Demands.Sets, ledger.MediaSet{Name: a.Set, Names: a.Names, Every: a.Every, Grace: a.Grace,
		Keeper: a.Keeper})
	return nil, errors.Join(wrong...)
}

// joinSets gives the media of each set its times, and names them where an asset demands
// the set.
func (b *builder) joinSets() {
	for _, set := range b.site.Demands.Sets {
		at := func(arg, key string) func(error) {
			return func(err error) { b.add(b.at("media", set.Name, arg, key), fmt.Errorf("media %s: %w", set.Name, err)) }
		}
		if slices.ContainsFunc(b.site.Targets, func(t *Target) bool { return t.Name == set.Name }) {
			at("set", "")(fmt.Errorf("%q is the name of a target, too", set.Name))
		}
		for _, name := range set.Names {
			if b.broken[name] {
				continue
			}
			t, err := b.site.Target(name)
			switch {
			case err != nil:
				at("names", name)(err)
			case !t.Offline:
				at("names", name)(fmt.Errorf("%s does not travel\nhint: target(name = %q, offline = True, …)", name, name))
			case t.Due > 0 || t.Grace > 0:
				b.add(b.at("target", name, "due", ""), fmt.Errorf("target %s: due and grace of a medium of a set stand in media(set = %q, every = …)",
					name, set.Name))
			default:
				t.Due, t.Grace = set.Every, set.Grace
			}
		}
	}
	for i, a := range b.site.Demands.Assets {
		var on []ledger.CopyDemand
		for _, d := range a.On {
			set := slices.IndexFunc(b.site.Demands.Sets, func(s ledger.MediaSet) bool { return s.Name == d.Target })
			if set < 0 {
				on = append(on, d)
				continue
			}
			for _, name := range b.site.Demands.Sets[set].Names {
				on = append(on, ledger.CopyDemand{Target: name, Level: d.Level, Set: d.Target})
			}
		}
		b.site.Demands.Assets[i].On = on
		b.twice(a.Name, on)
	}
	for _, t := range b.site.Targets {
		if t.Offline && t.Due == 0 && !b.broken[t.Name] {
			b.add(b.at("target", t.Name, "offline", ""), fmt.Errorf("target: an offline medium needs due: how often it is fetched and written; "+
				"or a set that it travels in: media(set = …, names = [%q, …], every = …)", t.Name))
		}
	}
}

// twice refuses an asset that demands a medium by its own name and by its set's.
func (b *builder) twice(asset string, on []ledger.CopyDemand) {
	for i, d := range on {
		for _, other := range on[:i] {
			if other.Target == d.Target {
				b.add(b.at("asset", asset, "on", d.Target), fmt.Errorf("asset %s: %s is demanded by its own name and by its set's: name one of them",
					asset, d.Target))
			}
		}
	}
}
