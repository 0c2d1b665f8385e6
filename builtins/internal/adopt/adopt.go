// Package adopt is what adopt does: it counts vzdump archives that lie on a storage of
// Proxmox and that no run of this ledger made.
//
// An archive whose notes carry no token of runner was made by a job of Proxmox's own, or by
// somebody: it is foreign. It is digested and verified like any other, and counts from then
// on; runner never removes it, and when its own retention did, it counts no longer, which
// is no fault. One that carries the token of a run that this ledger does not know is of a
// lost ledger. Where a manifest on another target tells of the same artifact it is a copy
// of that one, as it was; else it is counted, and as little removed as a foreign one.
//
// Whose archive it is, the VMID says: where the name in its configuration is another one
// than the guest has, the guest's identity decides, as for every artifact.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// CodeChanged is of an archive that somebody wrote to while it was read.
var CodeChanged = failure.Code{Name: "E_ARCHIVE_CHANGED", Doc: "an archive was written to while it was read: it is not counted"}

// Codes are those of archives that cannot be counted.
func Codes() []failure.Code { return []failure.Code{CodeChanged} }

// Request is what a policy asks for; adopt documents its arguments.
type Request struct {
	Target string
	Level  string
	Most   int
}

const (
	attempts = 3
	usual    = 20 // archives of one call: each is read twice
)

// job is one call.
type job struct {
	s       *runtime.Step
	w       *systems.Systems
	a       *Request
	catalog ledger.Catalog
	found   []*archive
	taken   map[string]bool // artifacts that are recorded in this call
	res     runtime.Result
	made    []ledger.Artifact
	errs    []error
	about   []*archive // of errs
}

func newJob(ctx context.Context, s *runtime.Step, a *Request) (*job, error) {
	j := &job{s: s, w: systems.Of(s), a: a, taken: map[string]bool{}, made: []ledger.Artifact{}}
	if _, ok := ledger.ParseLevel(a.Level); a.Level != "" && !ok {
		return nil, fmt.Errorf("level %q: adopt reaches stored, read or opened", a.Level)
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	j.catalog = catalog
	targets, err := j.targets()
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		if err := j.look(ctx, t); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(j.found, func(a, b *archive) int {
		if c := b.created().Compare(a.created()); c != 0 {
			return c
		}
		return strings.Compare(a.VolID, b.VolID)
	})
	return j, nil
}

// targets are those that count archives in place, or the one that is named.
func (j *job) targets() (out []*site.Target, err error) {
	for _, t := range j.w.Site.Targets {
		if t.Place.InPlace && (j.a.Target == "" || t.Name == j.a.Target) {
			out = append(out, t)
		}
	}
	if j.a.Target == "" || len(out) > 0 {
		return out, nil
	}
	if _, err := j.w.Site.Target(j.a.Target); err != nil {
		return nil, err
	}
	return nil, &failure.Error{Code: target.CodeBadTarget, System: "target " + j.a.Target, Doing: "look for archives of others",
		Said: "it is no storage of Proxmox (pve://): what lies on it has manifests",
		Hint: "runner ledger rebuild, or continue, reads the manifests on targets"}
}

// Adopt counts what is found, the newest first.
func Adopt(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	j, err := newJob(ctx, s, a)
	if err != nil {
		return runtime.Result{}, err
	}
	for i, f := range j.found {
		if i == j.most() {
			s.Log("%d older archives are left for the next time", len(j.found)-i)
			break
		}
		err := j.take(ctx, f)
		if ctx.Err() != nil {
			return j.res, context.Cause(ctx)
		}
		if err == nil {
			continue
		}
		j.errs, j.about = append(j.errs, named(f, err)), append(j.about, f)
		if !failure.Is(err, CodeChanged, target.CodeDamaged, target.CodeArchiveRead) {
			break // it would be the same with the others
		}
	}
	return j.end()
}

// Preview says in a plan what would be looked at.
func Preview(ctx context.Context, s *runtime.Step, a *Request) error {
	j, err := newJob(ctx, s, a)
	if err != nil {
		return err
	}
	for i, f := range j.found {
		if i == j.most() {
			break
		}
		s.Log("would read and count %s of %s, %s", f.VolID, f.guest.Item, f.origin())
	}
	return nil
}

func (j *job) most() int {
	if j.a.Most > 0 {
		return j.a.Most
	}
	return usual
}

// level is how far a copy of an asset on a target is to be proven.
func (j *job) level(asset, name string) int {
	if level, ok := ledger.ParseLevel(j.a.Level); ok {
		return min(level, ledger.Opened)
	}
	row, _ := j.w.Site.Demands.Asset(asset)
	for _, d := range row.On {
		if d.Target == name {
			return d.Level
		}
	}
	return ledger.Read
}

// end makes the result. One error is the call's: one that another attempt may mend, else
// the first; the others are findings.
func (j *job) end() (runtime.Result, error) {
	j.res.Value = j.made
	if len(j.errs) == 0 {
		return j.res, nil
	}
	at := max(0, slices.IndexFunc(j.errs, func(err error) bool {
		var own *failure.Error
		return errors.As(err, &own) && own.Temporary
	}))
	var own *failure.Error
	if errors.As(j.errs[at], &own) && own.Temporary && j.s.Attempt < attempts {
		return j.res, j.errs[at]
	}
	for i, err := range j.errs {
		if f := j.about[i]; i != at {
			j.find(ledger.Failed, f, failure.OneLine(err))
		}
	}
	return j.res, j.errs[at]
}

func (j *job) find(severity string, f *archive, text string) {
	j.res.Facts.Findings = append(j.res.Facts.Findings, ledger.Finding{Severity: severity, Asset: f.guest.Asset, Item: f.guest.Item,
		Target: f.target, Text: text})
}

// named says which archive an error is of.
func named(f *archive, err error) error {
	var own *failure.Error
	if !errors.As(err, &own) {
		return err
	}
	here := *own
	here.Doing = fmt.Sprintf("count %s of %s: %s", f.VolID, f.guest.Item, own.Doing)
	return &here
}

// Pretend finds the archives that a policy test gives, by the names of their guests.
func Pretend(s *runtime.Step, a *Request, names []string, assetOf func(system *site.Proxmox, guest string) string) (runtime.Result, error) {
	j := &job{s: s, w: systems.Of(s), a: a, made: []ledger.Artifact{}}
	targets, err := j.targets()
	if err != nil {
		return runtime.Result{}, err
	}
	for _, t := range targets {
		if err := s.Fault("target", t.Name); err != nil {
			return j.res, err
		}
		name, storage := t.Place.Storage()
		sys, err := j.w.Site.System(name)
		if err != nil {
			return j.res, err
		}
		for i, item := range names {
			j.pretend(t, sys, item, storage+fmt.Sprintf(":backup/vzdump-qemu-%d-2026_01_01-00_00_00.vma.zst", 100+i), assetOf(sys, item))
		}
	}
	j.res.Value = j.made
	return j.res, nil
}

func (j *job) pretend(t *site.Target, sys *site.Proxmox, item, volume, asset string) {
	const size = 1 << 30
	_, file, _ := strings.Cut(volume, "/")
	at := j.s.Now().Add(-time.Hour)
	art := ledger.Artifact{ID: ledger.ForeignID(sys.Name, item, at.String()), Kind: "vm", Asset: asset, Item: item, Run: j.s.Run, Step: j.s.ID,
		Source: sys.Name + ":qemu/100", Created: at, Origin: ledger.Origin{System: sys.Name, Node: "fake", Volume: volume},
		Files: []ledger.File{{Name: file, Size: size}}, Bytes: size, Foreign: true}
	cp := ledger.Copy{ID: ledger.CopyID(art.ID, t.Name), Artifact: art.ID, Kind: art.Kind, Asset: asset, Item: item, Target: t.Name,
		Medium: t.Medium, Location: t.Location, Device: ledger.Device{ID: "fake:" + t.Name}, Ref: volume, Bytes: size,
		Files: []ledger.StoredFile{{Name: file, Of: file, Size: size, SHA256: strings.Repeat("0", 64)}},
		Taken: at, Created: j.s.Now(), InPlace: true, Foreign: true}
	j.record(art, cp, true)
	j.made = append(j.made, art)
	j.res.Facts.Proofs = append(j.res.Facts.Proofs, ledger.Proof{Copy: cp.ID, Artifact: art.ID, Asset: asset, Item: item, Target: t.Name,
		Level: j.level(asset, t.Name), At: j.s.Now(), Run: j.s.Run, Step: j.s.ID, Bytes: size})
}

// record notes a copy, and its artifact where that is new.
func (j *job) record(art ledger.Artifact, cp ledger.Copy, fresh bool) {
	if fresh {
		j.res.Facts.Artifacts = append(j.res.Facts.Artifacts, art)
	}
	j.res.Facts.Copies = append(j.res.Facts.Copies, cp)
}
