package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/neosofia/runner/builtins/internal/chain"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type copyArgs struct {
	Artifact ledger.Artifact `star:"artifact" doc:"what a backup primitive returned"`
	To       []string        `star:"to?" doc:"targets; default: those that the asset demands" names:"target"`
}

const copyAttempts = 3

func copyDeclaration() runtime.Declaration {
	return runtime.Reusable[copyArgs]{Reuse: copiesStand, Primitive: runtime.Primitive[copyArgs]{
		Name: "copy", Kind: runtime.Write, Resume: runtime.Retry, Returns: "list of copies",
		Doc: "copy: bring an artifact to targets, in one read of its source.\n\n" +
			"Each target writes, resumes and fails by itself: the copies that could be made are returned, a target that failed is a finding of the run, and only when every target failed the call fails. " +
			"Sealed targets get age files; the clear stream is opened completely in the very pass that seals it. A copy becomes visible with its manifest, which is written last. " +
			"What the artifact needs (the full archive of a differential one) is copied, too, to those of the targets that lack it. " +
			"An offline medium that is not there is no failure of the copy: when it is due, the run says so.",
		Example: `copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"])`,
		Codes:   append(world.TargetCodes(), runtime.Code{Name: "E_ARCHIVE_MISSING", Doc: "the artifact's files are not there any more"}, runtime.Code{Name: "E_PVE_DOWN", Doc: "the node that holds the artifact cannot be reached"}, runtime.Code{Name: "E_PVE_SSH", Doc: "the node that holds the artifact cannot be read from here"}, runtime.Code{Name: "E_HOST_DOWN", Doc: "the host that holds the artifact cannot be reached"}, runtime.Code{Name: "E_HOST_AUTH", Doc: "the host that holds the artifact refuses our key"}),
		Retries: runtime.Retries{Attempts: copyAttempts, Wait: retryWait},
		Holds:   func(a *copyArgs) []string { return []string{"asset:" + a.Artifact.Asset + "/" + a.Artifact.Item} },
		Planned: func(*copyArgs) any { return runtime.Unknown{From: "copy"} },
		Fake:    fakeCopy, Run: copyArtifact,
	}}
}

// copiesStand tells a retry whether every copy that is wanted is recorded and was
// not found damaged: then the source need not be read again.
func copiesStand(ctx context.Context, s *runtime.Step, a *copyArgs, value json.RawMessage) (bool, error) {
	c, err := newCarry(s, a)
	if err != nil {
		return false, err
	}
	var made []ledger.Copy
	if err := json.Unmarshal(value, &made); err != nil {
		return false, err
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	stands := map[string]bool{}
	for _, m := range made {
		cp, found, err := catalog.Copy(ctx, m.ID)
		if err != nil {
			return false, err
		}
		if !found {
			return false, nil
		}
		bad, err := chain.Damaged(ctx, catalog, cp.ID)
		if err != nil || bad {
			return false, err
		}
		stands[cp.Target] = true
	}
	for _, name := range c.names {
		if !stands[name] {
			return false, nil
		}
	}
	list, err := chain.Lacking(ctx, catalog, c.art, c.names)
	return len(list) == 0, err
}

// carry is one copy call: what became of each target.
type carry struct {
	s      *runtime.Step
	w      *world.World
	art    ledger.Artifact
	names  []string
	asked  bool // the policy named the targets
	res    runtime.Result
	copies []ledger.Copy
	failed []error
	lost   []ledger.Finding // what the failures mean for the run, one each
	soft   int              // index of a failure that another attempt may mend; -1: none
	needed string           // what the artifact is to the one that is copied; empty: it is that one
}

func newCarry(s *runtime.Step, a *copyArgs) (*carry, error) {
	c := &carry{s: s, w: world.Of(s), art: a.Artifact, names: a.To, asked: len(a.To) > 0, soft: -1}
	if len(c.names) == 0 {
		row, ok := c.w.Site.Demands.Asset(c.art.Asset)
		if !ok || len(row.On) == 0 {
			return nil, fmt.Errorf("the site demands no copies of the asset %q\nhint: add on = {\"TARGET\": \"read\"} to asset(name = %q), or name targets: copy(to = [...])", c.art.Asset, c.art.Asset)
		}
		for _, d := range row.On {
			c.names = append(c.names, d.Target)
		}
	}
	return c, nil
}

// fail notes what a target's failure means for the run.
func (c *carry) fail(name string, err error) {
	var own *runtime.Error
	if c.soft < 0 && errors.As(err, &own) && own.Temporary {
		c.soft = len(c.failed)
	}
	c.failed = append(c.failed, err)
	severity := ledger.Failed
	if runtime.CodeOf(err) == "E_MEDIA_OVERDUE" {
		severity = ledger.DegradedRun
	}
	text := fmt.Sprintf("%s was not copied to %s: %s", c.art.Item, name, oneLine(err))
	if c.needed != "" {
		text = fmt.Sprintf("%s on %s needs %s, which has no copy there: %s", c.art.Item, name, c.needed, oneLine(err))
		if runtime.CodeOf(err) == "E_ARCHIVE_MISSING" {
			said, _, _ := strings.Cut(err.Error(), "\nhint: ") // a new run makes another one, not that one
			text = fmt.Sprintf("%s on %s needs %s, which has no copy there: %s; the next full image begins a new chain", c.art.Item, name, c.needed, oneLine(errors.New(said)))
		}
	}
	c.lost = append(c.lost, ledger.Finding{Severity: severity, Asset: c.art.Asset, Item: c.art.Item, Target: name, Text: text})
}

func oneLine(err error) string {
	text, hint, ok := strings.Cut(err.Error(), "\nhint: ")
	if ok {
		return text + "; " + strings.ReplaceAll(hint, "\n", " ")
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// end makes the result: the copies, or the error when there is none. A temporary
// failure of one target is worth another attempt: what is done is not done again.
func (c *carry) end() (runtime.Result, error) {
	c.res.Facts.Copies = c.copies
	switch {
	case c.soft >= 0 && c.s.Attempt < copyAttempts:
		c.res.Facts.Findings = nil // the next attempt meets what is left of them
		return c.res, c.failed[c.soft]
	case len(c.failed) > 0 && len(c.copies) == 0:
		c.res.Facts.Findings = append(c.res.Facts.Findings, c.lost[1:]...)
		return c.res, c.failed[0]
	}
	c.res.Facts.Findings = append(c.res.Facts.Findings, c.lost...)
	c.res.Value = c.copies
	if c.copies == nil {
		c.res.Value = []ledger.Copy{}
	}
	return c.res, nil
}

func copyArtifact(ctx context.Context, s *runtime.Step, a *copyArgs) (runtime.Result, error) {
	c, err := newCarry(s, a)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := c.bring(ctx); err != nil {
		return c.res, err
	}
	if err := c.whole(ctx, (*carry).bring); err != nil {
		return c.res, err
	}
	return c.end()
}

// bring copies the artifact to those targets that can take it.
func (c *carry) bring(ctx context.Context) error {
	open, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for _, t := range open {
			t.Close()
		}
	}()
	if len(open) == 0 {
		return nil
	}
	names := make([]string, len(open))
	for i, t := range open {
		names[i] = "target:" + t.Name()
	}
	release, err := c.s.Hold(ctx, names...)
	if err != nil {
		return err
	}
	defer release()
	if err := c.clear(ctx, open); err != nil {
		return err
	}
	head, err := c.s.Head(ctx)
	if err != nil {
		return err
	}
	if err := c.known(ctx); err != nil {
		return err
	}
	origin := world.Origin(c.art)
	outcomes := target.Copy(ctx, target.Source{
		Artifact: c.art, Check: kind.Checker(c.art.Kind), Head: head,
		Manifest: map[string]string{"run": c.s.Run, "step": c.s.ID, "runner": c.w.Env.Version},
		Open: func(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
			return c.w.OpenFile(ctx, origin, file, offset)
		},
	}, open)
	for _, o := range outcomes {
		c.outcome(ctx, o)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// whole brings what the artifact needs to those targets that have the artifact
// now, and not what it needs: a medium that was away when a chain began, say.
// What cannot be brought is a finding.
func (c *carry) whole(ctx context.Context, bring func(*carry, context.Context) error) error {
	if len(c.art.Needs) == 0 {
		return nil
	}
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	var targets []string
	for _, cp := range c.copies {
		targets = append(targets, cp.Target)
	}
	list, err := chain.Lacking(ctx, catalog, c.art, targets)
	if err != nil {
		return err
	}
	for _, l := range list {
		below := &carry{s: c.s, w: c.w, art: l.Artifact, names: l.Targets, asked: true, soft: -1, needed: l.Words()}
		if len(l.Artifact.Files) == 0 {
			below.art.Asset, below.art.Item = c.art.Asset, c.art.Item
			for _, name := range l.Targets {
				below.fail(name, &runtime.Error{Code: "E_ARCHIVE_MISSING", Doing: "find " + l.Words(), Said: "the ledger does not know it"})
			}
		} else {
			c.s.Log("%s needs %s, which %s did not have: it is copied, too", c.art.Item, l.Words(), strings.Join(l.Targets, ", "))
			if err := bring(below, ctx); err != nil {
				return err
			}
		}
		c.join(below)
	}
	return nil
}

// join adds what became of a needed artifact.
func (c *carry) join(below *carry) {
	if below.soft >= 0 && c.soft < 0 {
		c.soft = len(c.failed) + below.soft
	}
	c.failed, c.lost = append(c.failed, below.failed...), append(c.lost, below.lost...)
	c.copies = append(c.copies, below.copies...)
	c.res.Facts.Add(below.res.Facts)
}

func (c *carry) outcome(ctx context.Context, o target.Outcome) {
	if o.Err != nil {
		c.fail(o.Target, world.TargetError(o.Err))
		return
	}
	for _, n := range o.Notes {
		c.s.Log("%s: %s", o.Target, n)
	}
	if o.Resumed > 0 {
		c.s.Log("%s: %d bytes were there already", o.Target, o.Resumed)
	}
	cp := o.Copy
	if cp.InPlace {
		cp.Device = c.w.ArchiveDevice(c.art.Origin)
	}
	if spec, err := c.w.Site.Target(o.Target); err == nil && spec.Immutable {
		cp.Immutable = c.immutable(ctx, o.Target)
	}
	c.copies = append(c.copies, cp)
}

// immutable believes a declaration only after a probe with the run's own
// credential.
func (c *carry) immutable(ctx context.Context, name string) bool {
	t, err := c.w.OpenTarget(ctx, c.s, name)
	if err == nil {
		defer t.Close()
		var holds bool
		if holds, err = target.ProbeImmutable(ctx, t); err == nil && holds {
			return true
		}
	}
	text := "it is declared immutable, but runner could overwrite, rename or delete a file"
	if err != nil {
		text = "whether it is immutable could not be probed: " + oneLine(err)
	}
	c.res.Facts.Findings = append(c.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Target: name, Text: name + ": " + text})
	return false
}

// open opens the targets, and sorts out those that cannot take a copy.
func (c *carry) open(ctx context.Context) ([]*target.Target, error) {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	have, err := catalog.Copies(ctx, ledger.Query{Ref: c.art.ID})
	if err != nil {
		return nil, err
	}
	devices := map[string]string{}
	for _, cp := range have {
		if cp.Device.ID != "" {
			devices[cp.Device.ID] = cp.Target
		}
	}
	var open []*target.Target
	for _, name := range c.names {
		t, err := c.w.OpenTarget(ctx, c.s, name, world.Origin(c.art))
		if ctx.Err() != nil {
			return open, context.Cause(ctx)
		}
		if err != nil {
			c.absent(name, err)
			continue
		}
		device := t.Device().ID
		if strings.HasPrefix(t.Spec().URL, "pve:") {
			device = c.w.ArchiveDevice(c.art.Origin).ID
		}
		if err := c.liesThere(name); err != nil {
			t.Close()
			c.fail(name, err)
			continue
		}
		if err := c.sameMedium(ctx, catalog, t); err != nil {
			t.Close()
			c.fail(name, err)
			continue
		}
		if other, taken := devices[device]; taken && device != "" && other != name {
			t.Close()
			c.fail(name, &runtime.Error{Code: "E_SAME_DEVICE", System: "target " + name, Doing: "copy " + c.art.Item,
				Said: fmt.Sprintf("it lies on the same device as %s (%s): two folders on one disk are one copy", other, device)})
			continue
		}
		if device != "" {
			devices[device] = name
		}
		if t.Spec().Offline {
			c.res.Facts.Media = append(c.res.Facts.Media, ledger.Medium{Target: name, State: "attached", Device: t.Device(), At: c.s.Now()})
		}
		open = append(open, t)
	}
	return open, nil
}

// clear removes copies that were found damaged: what lies there has the right
// names and sizes, and would be taken for the copy.
func (c *carry) clear(ctx context.Context, open []*target.Target) error {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	have, err := catalog.ProvenCopies(ctx, ledger.Query{Item: c.art.Item, Ref: c.art.ID})
	if err != nil {
		return err
	}
	for _, cp := range have {
		if cp.Level >= ledger.Stored || cp.InPlace {
			continue
		}
		for _, t := range open {
			if t.Name() != cp.Target {
				continue
			}
			bad, err := chain.Damaged(ctx, catalog, cp.ID)
			if err != nil {
				return err
			}
			if !bad {
				continue
			}
			if err := c.source(ctx); err != nil {
				return err // a damaged copy is better than none
			}
			c.s.Log("%s: the copy that is there was found damaged: it is made again", cp.Target)
			if err := world.TargetError(t.Remove(ctx, cp.Copy)); err != nil {
				return err
			}
		}
	}
	return nil
}

// source tells whether the artifact can be read again.
func (c *carry) source(ctx context.Context) error {
	r, err := c.w.OpenFile(ctx, world.Origin(c.art), c.art.Files[0].Name, 0)
	if err != nil {
		return err
	}
	return r.Close()
}

// known fills in the digests that an earlier copy recorded: the source must still
// be what it was then.
func (c *carry) known(ctx context.Context) error {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return err
	}
	have, err := catalog.Copies(ctx, ledger.Query{Ref: c.art.ID})
	if err != nil {
		return err
	}
	files := append([]ledger.File(nil), c.art.Files...)
	for _, cp := range have {
		for _, f := range cp.Files {
			for i := range files {
				if files[i].Name == f.Of && !f.Sealed && f.Part == 0 && files[i].SHA256 == "" {
					files[i].SHA256 = f.SHA256
				}
			}
		}
	}
	c.art.Files = files
	return nil
}

// liesThere refuses to count an archive in place on a storage where it does not
// lie: another one, or one of another cluster.
func (c *carry) liesThere(name string) error {
	spec, err := c.w.Site.Target(name)
	place, inPlace := strings.CutPrefix(spec.URL, "pve://")
	if err != nil || !inPlace {
		return err
	}
	system, storage, ok := strings.Cut(place, "/")
	if !ok {
		system, storage = c.art.Origin["system"], place
	}
	if system == c.art.Origin["system"] && storage == c.art.Origin["storage"] {
		return nil
	}
	return &runtime.Error{Code: "E_NOT_FOUND", System: "target " + name, Doing: "count " + c.art.Item + " in place",
		Said: fmt.Sprintf("its archive lies on storage %s of %s", c.art.Origin["storage"], c.art.Origin["system"]), Hint: "name the target whose url is that storage in asset(on = …)"}
}

// sameMedium refuses a folder that lay on another device when it got its last
// copy, unless the site names the medium: a disk that is not mounted leaves its
// mount point behind, on the system disk.
func (c *carry) sameMedium(ctx context.Context, catalog ledger.Catalog, t *target.Target) error {
	if spec := t.Spec(); !strings.HasPrefix(spec.URL, "file:") || spec.UUID != "" || spec.Serial != "" {
		return nil
	}
	copies, err := catalog.Copies(ctx, ledger.Query{Target: t.Name()})
	if err != nil || len(copies) == 0 {
		return err
	}
	last, now := copies[len(copies)-1].Device, t.Device()
	if last.ID == "" || last.ID == now.ID {
		return nil
	}
	return &runtime.Error{Code: "E_WRONG_MEDIUM", System: "target " + t.Name(), Doing: "look at its device",
		Said: fmt.Sprintf("the folder lies on %s now; its last copy was written to %s", now.ID, last.ID),
		Hint: "is the disk mounted? If it was replaced, name the new one with uuid and serial in site.star"}
}

// absent tells a medium that was taken away, as it should be, from a failure.
func (c *carry) absent(name string, err error) {
	spec, serr := c.w.Site.Target(name)
	if serr == nil && spec.Offline && !c.asked && runtime.CodeOf(err) == "E_MEDIA_ABSENT" {
		c.s.Log("%s is not attached; whether it is due is judged at the end", name)
		c.res.Facts.Media = append(c.res.Facts.Media, ledger.Medium{Target: name, State: "detached", At: c.s.Now()})
		return
	}
	c.fail(name, err)
}

func fakeCopy(ctx context.Context, s *runtime.Step, a *copyArgs) (runtime.Result, error) {
	c, err := newCarry(s, a)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := c.pretend(ctx); err != nil {
		return c.res, err
	}
	if err := c.whole(ctx, (*carry).pretend); err != nil {
		return c.res, err
	}
	return c.end()
}

// pretend is bring for tests of policies.
func (c *carry) pretend(context.Context) error {
	for _, name := range c.names {
		if err := c.s.Fault("to", name); err != nil {
			c.fail(name, err)
			continue
		}
		spec, err := c.w.Site.Target(name)
		if err != nil {
			c.fail(name, err)
			continue
		}
		var files []ledger.StoredFile
		for _, f := range c.art.Files {
			files = append(files, ledger.StoredFile{Name: f.Name, Of: f.Name, Size: f.Size, SHA256: strings.Repeat("0", 64)})
		}
		c.copies = append(c.copies, ledger.Copy{ID: ledger.CopyID(c.art.ID, name), Artifact: c.art.ID, Kind: c.art.Kind, Asset: c.art.Asset, Item: c.art.Item,
			Target: name, Medium: spec.Medium, Location: spec.Location, Device: ledger.Device{ID: "fake:" + name}, Files: files, Bytes: c.art.Bytes,
			Taken: c.art.Created, Created: c.s.Now(), Offline: spec.Offline, Offsite: spec.Offsite, Opened: len(spec.SealedTo) > 0, SealedTo: spec.SealedTo,
			InPlace: strings.HasPrefix(spec.URL, "pve:")})
		if spec.Offline {
			c.res.Facts.Media = append(c.res.Facts.Media, ledger.Medium{Target: name, State: "attached", At: c.s.Now()})
		}
	}
	return nil
}
