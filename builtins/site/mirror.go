package site

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// mirror holds what is demanded of a target that mirrors another one, as far as its own call tells.
func (b *builder) mirror(a *targetArgs, place target.Place) (wrong []error) {
	switch {
	case a.Layout != target.LayoutChunks:
		wrong = append(wrong, bad("mirror_of", "mirror_of is for layout = %q: what is mirrored is a repository", target.LayoutChunks))
	case a.MirrorOf == a.Name:
		wrong = append(wrong, bad("mirror_of", "mirror_of %q: it cannot mirror itself", a.MirrorOf))
	case place.InPlace:
		wrong = append(wrong, bad("mirror_of", "mirror_of: nothing is written to a storage that is counted in place"))
	}
	if len(a.SealedTo) == 0 && !place.Foreign { // foreign says it
		wrong = append(wrong, bad("mirror_of", "sealed_to is missing: a mirror is sealed (runner recovery-key new)"))
	}
	if a.Password.Name != "" {
		wrong = append(wrong, bad("password", "password: a mirror has that of %s", a.MirrorOf))
	}
	if a.PartSize > 0 {
		wrong = append(wrong, bad("part_size", "part_size: a mirror is of blobs, of some 20 MiB each: they are not cut"))
	}
	if a.probed() != "" {
		wrong = append(wrong, bad("immutable", "immutable, append_only: a mirror replaces its notes and drops what its copies do not need"))
	}
	return wrong
}

// mirrors holds mirrors against what they mirror, which may be declared after them.
func (b *builder) mirrors() {
	for _, t := range b.site.Targets {
		if t.MirrorOf == "" || b.broken[t.Name] || b.broken[t.MirrorOf] {
			continue
		}
		pos := b.at("target", t.Name, "mirror_of", "")
		from, err := b.site.Target(t.MirrorOf)
		switch {
		case err != nil:
			b.add(pos, fmt.Errorf("target %s: %w", t.Name, err))
		case from.MirrorOf != "":
			b.add(pos, fmt.Errorf("target %s mirrors %s, which is a mirror itself\nhint: mirror %s, too: each mirror is sealed by itself",
				t.Name, from.Name, from.MirrorOf))
		case from.Layout != target.LayoutChunks:
			b.add(pos, fmt.Errorf("target %s mirrors %s, which has no repository\nhint: layout = %q and password = secret(…) make it one", t.Name,
				from.Name, target.LayoutChunks))
		}
	}
}

// mirrored refuses an asset that demands a copy on a mirror and none where it would come from.
func (b *builder) mirrored(a ledger.AssetDemand, d ledger.CopyDemand, t *Target) {
	from := func(on ledger.CopyDemand) bool { return on.Target == t.MirrorOf }
	if t.MirrorOf != "" && !slices.ContainsFunc(a.On, from) {
		b.add(b.at("asset", a.Name, "on", cmp.Or(d.Set, d.Target)), fmt.Errorf("asset %s demands a copy on %s, which mirrors %s, and none "+
			"there\nhint: name %s in its on = {…}, too", a.Name, t.Name, t.MirrorOf, t.MirrorOf))
	}
}
